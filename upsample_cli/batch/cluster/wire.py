"""Results as they return from a cluster: JSON values instead of our own objects, checked on arrival."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from upsample_cli.batch.json_values import failure_of, loss_of, plain_failure, plain_loss
from upsample_cli.enlarge.job import Job, Result, Status

_ENDS: tuple[Status, ...] = ("written", "skipped", "failed")
_LONGEST_S, _LONGEST_NAME = 1e9, 200
_SIZES = ("height", "width", "output_height", "output_width")


def sent(result: Result, device: str | None) -> dict[str, Any]:
    """The answer of a worker. It does not contain the paths of the files, because the run knows them."""
    return {
        "status": result.status,
        **{name: getattr(result, name) for name in _SIZES},
        "losses": [plain_loss(loss) for loss in result.losses],
        "failure": None if result.failure is None else plain_failure(result.failure),
        "elapsed_s": result.elapsed_s,
        "device": device,
        "engine": result.engine,
    }


def received(answer: object, job: Job) -> tuple[Result, str | None]:
    """The result of a job, and the name of the device.

    Raises:
        ValueError: if `sent` cannot have made the answer.
    """
    fields = cast("dict[str, Any]", dict(answer)) if isinstance(answer, dict) else {}
    try:
        if fields.keys() != sent(Result(job.input), None).keys() or not _is_plain(fields, job):
            raise ValueError
        fields["losses"] = tuple(map(loss_of, fields["losses"]))
        fields["failure"] = None if fields["failure"] is None else failure_of(fields["failure"])
    except ValueError as error:
        raise ValueError("the Dask worker sent something that is not a result") from error
    device = fields.pop("device")
    return replace(Result(job.input, job.output), **fields), device


def _is_plain(fields: dict[str, Any], job: Job) -> bool:
    """Whether each value has exactly its type, and is one of this job. A subclass could have its own methods."""
    status, elapsed_s, planned = fields["status"], fields["elapsed_s"], Result.planned(job)
    return (
        type(status) is str
        and status in _ENDS
        and all(type(fields[name]) in (int, type(None)) for name in _SIZES)
        and all(fields[name] in (None, getattr(planned, name)) for name in _SIZES)
        and type(fields["losses"]) is list
        and all(value is None or _is_name(value) for value in map(fields.get, ("device", "engine")))
        and (status != "failed" or fields["failure"] is not None)
        and (status != "written" or fields["failure"] is None)
        and type(elapsed_s) is float
        and 0 <= elapsed_s < _LONGEST_S
    )


def _is_name(value: object) -> bool:
    """Whether it is text that can be printed on a line. A terminal would obey control characters."""
    return type(value) is str and len(value) <= _LONGEST_NAME and value.isprintable()
