"""Failures and losses as values of JSON's kinds: in a record and in answers of a cluster.

Both may be an attacker's.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any, cast

from upsample_cli.errors import FAILURES, LOSSES, Failure, Loss, Setting, Text, joined, spelled

_LONGEST = 1 << 16
_LONGEST_CAUSE = 5000


def plain_failure(failure: Failure) -> dict[str, Any]:
    """A failure that `failure_of` reads."""
    return {
        "kind": failure.kind,
        "cause": _plain_text(failure.cause),
        "next_step": _plain_text(failure.next_step),
        "path": failure.path,
        "limit_s": failure.limit_s,
    }


def failure_of(value: object) -> Failure:
    """The failure of `plain_failure`.

    Raises:
        ValueError: if it is not one.
    """
    fields = cast("dict[str, Any]", value) if type(value) is dict else {}
    if fields.keys() != plain_failure(Failure("usage", "")).keys():
        raise ValueError("not a failure")
    kind, path, limit_s = fields["kind"], fields["path"], fields["limit_s"]
    if not (_is_text(kind) and kind in FAILURES and _is_text(path) and type(limit_s) in (int, float, type(None))):
        raise ValueError("not a failure")
    return Failure(kind, _text_of(fields["cause"]), _text_of(fields["next_step"]), path, limit_s)


def plain_loss(loss: Loss) -> list[Any]:
    """A loss that `loss_of` reads."""
    return [loss.kind, _plain_text(loss.text), loss.details]


def loss_of(value: object) -> Loss:
    """The loss of `plain_loss`.

    Raises:
        ValueError: if it is not one.
    """
    parts = value if type(value) is list else []
    if len(parts) != 3 or not _is_text(parts[0]) or parts[0] not in LOSSES or not _is_text(parts[2]):
        raise ValueError("not a loss")
    return Loss(parts[0], _text_of(parts[1]), parts[2])


def failure_json(failure: Failure) -> str:
    """A failure as one line of ASCII; a cause of any length is cut."""
    text = json.dumps(plain_failure(failure))
    if len(text) <= _LONGEST:
        return text
    return json.dumps(plain_failure(replace(failure, cause=spelled(failure.cause)[:_LONGEST_CAUSE])))


@functools.lru_cache(maxsize=64)  # a row is checked, and then read
def failure_in_json(text: str) -> Failure:
    """The failure of `failure_json`.

    Raises:
        ValueError: if it is not one.
    """
    if len(text) > _LONGEST:
        raise ValueError("not a failure")
    try:
        return failure_of(json.loads(text))
    except RecursionError as error:
        raise ValueError("not a failure") from error


def _plain_text(text: Text) -> list[Any]:
    return [part if isinstance(part, str) else [part.name, part.value] for part in joined(text)]


def _text_of(value: object) -> Text:
    if type(value) is not list:
        raise ValueError("not a text")
    parts = tuple(part if _is_text(part) else _setting_of(part) for part in value)
    return spelled(parts) if all(isinstance(part, str) for part in parts) else parts


def _setting_of(value: object) -> Setting:
    if type(value) is list and len(value) == 2:
        name, given = value
        if _is_text(name) and (given is None or type(given) in (str, int, bool)):
            return Setting(name, given)
    raise ValueError("not a setting")


def _is_text(value: object) -> bool:
    """Whether it is a string: exactly, as a subclass may come with methods of its own."""
    return type(value) is str
