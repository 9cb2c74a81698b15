"""The tag of the wheel, which depends on the Python that builds it; pyproject.toml has everything else.

The compiled module uses the limited API, so one wheel serves Python 3.11 and later. A Python without the GIL does not
have that API: its wheel is for that version only.
"""

import sysconfig

from setuptools import setup

setup(options={} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp311"}})
