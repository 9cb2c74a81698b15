"""Lets compiled code compute before its check has ended, so that a file does not wait until libtorch is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.select import chosen_route, unchecked_route
from upsample_cli.errors import RejectedRouteError
from upsample_cli.kernels.kernel import Kernel

_checks: dict[tuple[Any, ...], _Check] = {}  # changed by atomic operations only: threads share it
_MOST = 64


def may_be_early() -> bool:
    """Whether no check of this process has failed so far."""
    return all(check.is_right is not False for check in list(_checks.values()))


def early_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName = "auto") -> Route:
    """The compiled route while it is still being checked; otherwise `select.chosen_route`.

    Its pixels may be used after `confirm_checks` has returned.
    """
    key = kernel, arithmetic, channels, engine
    try:
        route = _Early(unchecked_route(*key))
    except Exception:  # any error: `chosen_route` takes another route
        return chosen_route(*key)
    return route if begin_check(_is_compiled, *key) else chosen_route(*key)


class _Early:
    """A route that has not been checked. If it raises an error, it is rejected."""

    def __init__(self, route: Route) -> None:
        self.name, self.is_compiled, self.bytes_per_value = route.name, route.is_compiled, route.bytes_per_value
        self._route = route

    def __call__(self, padded: Array, out: Array) -> None:
        """See `Route`."""
        try:
            self._route(padded, out)
        except Exception as error:
            raise RejectedRouteError from error


def _is_compiled(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> bool:
    return chosen_route(kernel, arithmetic, channels, engine).is_compiled


def begin_check(check: Callable[..., bool], *arguments: Any) -> bool:
    """Begin a check in another thread, unless it has begun before. Returns whether it has not ended yet.

    Args:
        check: returns whether the layer's pixels were found.
        arguments: of the check; hashable.
    """
    key = check, *arguments
    if key not in _checks:
        if len(_checks) >= _MOST:
            return False
        begun = _Check(check, arguments)
        if _checks.setdefault(key, begun) is begun:
            try:
                begun.start()
            except RuntimeError:  # the system has no more threads, or the interpreter ends
                begun.result()
    return _checks[key].is_right is None


class _Check(Thread):
    """A check in a thread of its own."""

    def __init__(self, check: Callable[..., bool], arguments: tuple[Any, ...]) -> None:
        super().__init__(name="upsample-check")
        self._check, self._arguments = check, arguments
        self.is_right: bool | None = None

    def run(self) -> None:
        """Set `is_right`."""
        try:
            self.is_right = self._check(*self._arguments)
        except Exception:  # it is raised again when the image is enlarged again
            self.is_right = False

    def result(self) -> bool:
        """Wait for the check, or carry it out if it has no thread: none could start, or another process has it."""
        with suppress(RuntimeError):  # it has not been started
            self.join()
        if self.is_right is None:
            self.run()
        return bool(self.is_right)


def confirm_checks() -> None:
    """Wait until all checks of this process have ended.

    Raises:
        RejectedRouteError: if one of them has failed.
    """
    if not all(check.result() for check in list(_checks.values())):
        raise RejectedRouteError


def _wait_for_checks() -> None:
    for check in list(_checks.values()):
        check.result()


if hasattr(os, "register_at_fork"):  # a forked process could not import what the thread is importing
    os.register_at_fork(before=_wait_for_checks)
