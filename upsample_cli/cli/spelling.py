"""Write the library's settings as command-line options, and find which of them a command can advise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from upsample_cli.errors import Failure, Loss, Setting, Text, UpsampleError, joined, spelled

if TYPE_CHECKING:
    from upsample_cli.enlarge.job import Result

_OPTIONS = {"memory_bytes": "memory", "timeout_s": "timeout"}
_OR = ", or "
OFFERED: ContextVar[frozenset[str] | None] = ContextVar("offered", default=None)
"""The options of the running command, which may not have all settings that the library advises; None before it runs."""


def option(setting: Setting) -> str:
    """A setting as it is typed on the command line.

    >>> option(Setting("max_pixels", 100)), option(Setting("overwrite", True)), option(Setting("timeout_s"))
    ('--max-pixels 100', '--overwrite', '--timeout')
    """
    name = "--" + _OPTIONS.get(setting.name, setting.name).replace("_", "-")
    return name if setting.value is None or setting.value is True else f"{name} {setting.value}"


def sentence(fact: Failure | Loss | Text, *, detailed: bool = False) -> str:
    """One line about a failure, a loss or another text. If `detailed`, the details of a loss are added."""
    if isinstance(fact, Failure):
        return fact.sentence(option)
    line = spelled(fact.text if isinstance(fact, Loss) else fact, option)
    return f"{line} ({fact.details})" if detailed and isinstance(fact, Loss) and fact.details else line


def advised(failure: Failure) -> Failure:
    """The failure without advice that needs an option that the command does not have.

    An alternative that names such an option is removed from the next step, or the whole next step if there is no other.
    """
    step, offered = failure.next_step, OFFERED.get()
    for place, part in enumerate(step if offered is not None else ()):
        if isinstance(part, Setting) and option(Setting(part.name)) not in (offered or ()):
            if place > 0 and str(step[place - 1]).startswith((" or ", _OR)):
                return replace(failure, next_step=step[: place - 1])
            other, *more = joined(step)[place + 1 :] or ("",)
            has_verb = isinstance(other, str) and other.startswith(_OR) and other != _OR
            return advised(replace(failure, next_step=(str(other)[len(_OR) :], *more) if has_verb else ""))
    return failure


@contextmanager
def called(name: str, option_name: str) -> Iterator[None]:
    """Replace the setting `name` by the option `option_name` in the advice of errors raised inside the `with` block."""
    try:
        yield
    except UpsampleError as error:
        parts = joined(error.next_step)
        named = (
            replace(part, name=option_name) if isinstance(part, Setting) and part.name == name else part
            for part in parts
        )
        error.failure = replace(error.failure, next_step=tuple(named))
        raise


def error_line(result: Result) -> str | None:
    """Why an image failed; None if it did not."""
    return None if result.fault is None else sentence(result.fault)
