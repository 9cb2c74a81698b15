"""How the command line writes what the library calls settings, and which of them a command can advise."""

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
"""The options of the running command, which lacks some of the settings that the library advises; None before it."""


def option(setting: Setting) -> str:
    """A setting as an option is typed.

    >>> option(Setting("max_pixels", 100)), option(Setting("overwrite", True)), option(Setting("timeout_s"))
    ('--max-pixels 100', '--overwrite', '--timeout')
    """
    name = "--" + _OPTIONS.get(setting.name, setting.name).replace("_", "-")
    return name if setting.value is None or setting.value is True else f"{name} {setting.value}"


def sentence(fact: Failure | Loss | Text, *, detailed: bool = False) -> str:
    """The line about a failure, a loss or something else; `detailed`: with the details of a loss."""
    if isinstance(fact, Failure):
        return fact.sentence(option)
    line = spelled(fact.text if isinstance(fact, Loss) else fact, option)
    return f"{line} ({fact.details})" if detailed and isinstance(fact, Loss) and fact.details else line


def advised(failure: Failure) -> Failure:
    """The failure with a next step that the command offers: an alternative that it lacks is left out, or all."""
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
    """Let errors inside advise the option `option_name` where the library advises the setting `name`."""
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
