"""Results as they come back from a cluster: values of JSON's kinds, checked on arrival, and none of our objects."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

from upsample_cli.enlarge.job import Job, Result, Status

_ENDS: tuple[Status, ...] = ("written", "skipped", "failed")
_SIZES = ("height", "width", "output_height", "output_width")


def sent(result: Result, device: str | None) -> dict[str, Any]:
    """What a worker answers. The files' names are left out: the run knows which it asked for."""
    return {
        "status": result.status,
        **{name: getattr(result, name) for name in _SIZES},
        "warnings": list(result.warnings),
        "error": result.error,
        "elapsed_s": result.elapsed_s,
        "may_pass": result.may_pass,
        "device": device,
    }


def received(answer: object, job: Job) -> tuple[Result, str | None]:
    """The result of a job, and the name of the device.

    Raises:
        ValueError: if the answer is not one of `sent`.
    """
    fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if fields.keys() != sent(Result(job.input), None).keys() or not _is_plain(fields):
        raise ValueError("the Dask worker sent something that is not a result")
    device = fields["device"]
    outcome = {name: value for name, value in fields.items() if name not in ("device", "warnings")}
    return replace(Result(job.input, job.output), warnings=tuple(fields["warnings"]), **outcome), device


def _is_plain(fields: dict[str, Any]) -> bool:
    """Whether each value is of its kind: exactly, as a subclass may come with methods of its own."""
    status, lines, elapsed_s = fields["status"], fields["warnings"], fields["elapsed_s"]
    return (
        type(status) is str
        and status in _ENDS
        and all(value is None or (type(value) is int and value > 0) for value in map(fields.get, _SIZES))
        and type(lines) is list
        and all(type(line) is str for line in lines)
        and all(value is None or type(value) is str for value in (fields["error"], fields["device"]))
        and (status == "failed") == (fields["error"] is not None)
        and type(elapsed_s) is float
        and math.isfinite(elapsed_s)
        and type(fields["may_pass"]) is bool
    )
