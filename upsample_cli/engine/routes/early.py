"""Lets the compiled route compute before its check has ended, so that a file does not wait until libtorch is loaded."""

from __future__ import annotations

import os
from concurrent.futures import Future
from threading import Thread
from typing import TypeAlias

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.select import chosen_route, unchecked_route
from upsample_cli.errors import RejectedRouteError
from upsample_cli.kernels.kernel import Kernel

_Key: TypeAlias = tuple[Kernel, Arithmetic, int, EngineName]

_checks: dict[_Key, Future[bool]] = {}  # changed by atomic operations only: threads share it
_MOST = 64


def may_be_early() -> bool:
    """Whether no route has been rejected in this process so far."""
    return all(not check.done() or check.result() for check in list(_checks.values()))


def early_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName = "auto") -> Route:
    """The compiled route, which another thread begins to check; if there is none, `select.chosen_route`.

    Its pixels may be used after `confirm_routes` has returned.
    """
    key = kernel, arithmetic, channels, engine
    try:
        route = unchecked_route(*key)
    except ValueError:
        return chosen_route(*key)
    if key not in _checks:
        if len(_checks) >= _MOST:
            return chosen_route(*key)
        check = Future[bool]()
        if _checks.setdefault(key, check) is check:
            Thread(target=_check, args=(key, check), name="upsample-check").start()
    return route


def _check(key: _Key, check: Future[bool]) -> None:
    try:
        is_confirmed = chosen_route(*key).is_compiled
    except Exception:  # it is raised again when the image is repeated
        is_confirmed = False
    check.set_result(is_confirmed)


def confirm_routes() -> None:
    """Wait until all early routes of this process have been checked.

    Raises:
        RejectedRouteError: if one of them is not the one that `select.chosen_route` has chosen.
    """
    if not all(check.result() for check in list(_checks.values())):
        raise RejectedRouteError


def _wait_for_checks() -> None:
    for check in list(_checks.values()):
        check.result()


if hasattr(os, "register_at_fork"):  # the thread of a check does not exist in a forked process
    os.register_at_fork(before=_wait_for_checks)
