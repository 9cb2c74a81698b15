"""Failures and losses as JSON values, for the record and for the answers of a cluster.

Both may come from an attacker.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any, cast

from upsample_cli.errors import Failure, Loss, Setting, Text, joined, spelled
from upsample_cli.failure_codes import FAILURES, LOSSES

_LONGEST = 1 << 16
_LONGEST_CAUSE = 5000


def plain_failure(failure: Failure) -> dict[str, Any]:
    """A failure as JSON values."""
    return {
        "kind": failure.kind,
        "cause": _plain_text(failure.cause),
        "next_step": _plain_text(failure.next_step),
        "path": failure.path,
        "limit_s": failure.limit_s,
    }


def failure_of(value: object) -> Failure:
    """The inverse of `plain_failure`.

    Raises:
        ValueError: if the value is not a failure.
    """
    fields = cast("dict[str, Any]", value) if type(value) is dict else {}
    if fields.keys() != plain_failure(Failure("usage", "")).keys():
        raise ValueError("not a failure")
    kind, path, limit_s = fields["kind"], fields["path"], fields["limit_s"]
    if not (_is_text(kind) and kind in FAILURES and _is_text(path) and type(limit_s) in (int, float, type(None))):
        raise ValueError("not a failure")
    return Failure(kind, _text_of(fields["cause"]), _text_of(fields["next_step"]), path, limit_s)


def plain_loss(loss: Loss) -> list[Any]:
    """A loss as JSON values."""
    return [loss.kind, _plain_text(loss.text), loss.details]


def loss_of(value: object) -> Loss:
    """The inverse of `plain_loss`.

    Raises:
        ValueError: if the value is not a loss.
    """
    parts = value if type(value) is list else []
    if len(parts) != 3 or not _is_text(parts[0]) or parts[0] not in LOSSES or not _is_text(parts[2]):
        raise ValueError("not a loss")
    return Loss(parts[0], _text_of(parts[1]), parts[2])


def failure_json(failure: Failure) -> str:
    """A failure as one line of ASCII. A very long cause is cut off."""
    text = json.dumps(plain_failure(failure))
    if len(text) <= _LONGEST:
        return text
    return json.dumps(plain_failure(replace(failure, cause=spelled(failure.cause)[:_LONGEST_CAUSE])))


@functools.lru_cache(maxsize=64)  # each row is parsed twice: to check it and to read it
def failure_in_json(text: str) -> Failure:
    """The inverse of `failure_json`.

    Raises:
        ValueError: if the text is not a failure.
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
    """Whether it is exactly a string. A subclass could have its own methods."""
    return type(value) is str
