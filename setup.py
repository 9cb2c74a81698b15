"""How the wheel is tagged and its modules are compiled; pyproject.toml has everything else.

The compiled module uses the limited API, so one wheel serves Python 3.11 and later. A Python without the GIL does not
have that API: its wheel is for that version only.
"""

import os
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildOnAllCores(build_ext):
    """Compiles the sources of a module side by side; setuptools compiles them one after the other."""

    command_name = "build_ext"  # in messages

    def build_extensions(self):
        """Compile and link; compilers other than GCC and Clang are left as they are."""
        if self.compiler.compiler_type == "unix":
            compile_in_turn = self.compiler.compile

            def compile_side_by_side(sources, **settings):
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    return [*chain(*pool.map(lambda source: compile_in_turn([source], **settings), sources))]

            self.compiler.compile = compile_side_by_side
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildOnAllCores},
    options={} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
