"""The memory that this process can still take."""

from __future__ import annotations

from pathlib import Path

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Memory that this process and its control group can still take without swapping; None if unknown."""
    found = [free for free in (_free_of_machine(), _free_of_group()) if free is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    fields = _fields(_PROC / "meminfo")
    return None if "MemAvailable:" not in fields else fields["MemAvailable:"] * 1024


def _free_of_group() -> int | None:
    """The smallest amount left by a control group of this process. Source: the manuals of cgroup v1 and v2."""
    free: list[int] = []
    for line in _lines(_PROC / "self/cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _GROUPS / controllers
        limit, used = ("memory.max", "memory.current") if not controllers else (
            "memory.limit_in_bytes", "memory.usage_in_bytes")  # fmt: skip
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            bounds = [_number(folder / file) for file in (limit, used)]
            if bounds[0] is not None and bounds[1] is not None:
                cached = _fields(folder / "memory.stat").get("inactive_file", 0)  # released on demand
                free.append(max(0, bounds[0] - bounds[1] + cached))
    return min(free, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _fields(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None
