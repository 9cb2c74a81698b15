"""The C++ sources of a module are compiled at the same time, and a module that cannot be compiled is one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.environment import ENVIRONMENT, TESTS

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the compiler is a POSIX script"),
    pytest.mark.usefixtures("in_tmp_path"),
]

COMPILER = """#!/bin/sh
# Succeeds when as many compilers have started as $TOGETHER says; the object names its source. Linking joins objects.
while [ $# -gt 0 ]; do
    case $1 in -o) output=$2; shift;; *.cpp) source=$1;; *.o) objects="$objects $1";; esac
    shift
done
[ -n "$source" ] || exec cat $objects > $output
touch started.$$
for attempt in $(seq $ATTEMPTS); do
    [ $(ls started.* | wc -l) -lt $TOGETHER ] || exec echo "$source" > $output
    sleep 0.02
done
exit 1
"""

BUILD = """
import os, runpy, sys
import setuptools
os.cpu_count = lambda: 2  # also where there is one core
given = {}
setuptools.setup = lambda **settings: given.update(settings)
runpy.run_path(sys.argv[1])
if sys.argv[2] == "setuptools":
    del given["cmdclass"]
module = setuptools.Extension("module", ["c.cpp", "a.cpp", "b.cpp"], language="c++", depends=["a.h"], optional=True)
project = setuptools.Distribution(given | {"name": "project", "ext_modules": [module]})
command = project.get_command_obj("build_ext")
command.inplace = True
command.ensure_finalized()
command.run()
"""


def build(command, compiler="./compiler", together=2, attempts=1000):
    """The errors of a build with the command of `setup.py`, or that of setuptools."""
    Path("compiler").write_text(COMPILER, encoding="utf-8")
    Path("compiler").chmod(0o755)
    for name in ("a.cpp", "b.cpp", "c.cpp", "a.h"):
        if not Path(name).exists():
            Path(name).touch()
    settings = {"CC": compiler, "CXX": compiler, "LDSHARED": compiler, "LDCXXSHARED": compiler}
    settings |= {"TOGETHER": str(together), "ATTEMPTS": str(attempts)}
    run = [sys.executable, "-c", BUILD, TESTS.parent / "setup.py", command]
    done = subprocess.run(run, env=ENVIRONMENT | settings, capture_output=True, text=True, check=True, timeout=60)
    return done.stderr


def linked():
    """The sources in each module that was built, in the order in which they were linked."""
    return [path.read_text(encoding="utf-8").split() for path in Path().glob("module*.so")]


def test_sources_are_compiled_at_the_same_time_and_linked_in_order():
    assert "failed" not in build("setup.py")
    assert linked() == [["a.cpp", "b.cpp", "c.cpp"]]


def test_control_setuptools_alone_compiles_one_after_the_other():
    assert 'building extension "module" failed' in build("setuptools", attempts=10)
    assert linked() == []


def test_a_compiler_that_is_missing_or_fails_is_one_line_as_in_setuptools():
    for compiler in ("./missing", "false"):
        ours, theirs = build("setup.py", compiler), build("setuptools", compiler)
        assert ours == theirs
        assert re.fullmatch(r'warning: build_ext: building extension "module" failed: .*\n+', ours)
    assert linked() == []


@pytest.mark.parametrize(("changed", "expected"), [("a.h", ["a.cpp", "b.cpp", "c.cpp"]), ("other.h", ["earlier"])])
def test_a_module_is_compiled_again_when_a_header_has_changed(changed, expected):
    build("setup.py")
    (module,) = Path().glob("module*.so")
    module.write_text("earlier", encoding="utf-8")
    later_s = module.stat().st_mtime + 1
    Path(changed).touch()
    os.utime(changed, (later_s, later_s))
    build("setup.py")
    assert linked() == [expected]
