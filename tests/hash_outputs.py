"""Hashes of everything that `upsample` and `tconv` write, to show that a refactoring does not change it.

    python tests/hash_outputs.py --write baseline.json
    python tests/hash_outputs.py --check baseline.json
    python tests/hash_outputs.py --check baseline.json --allow json,messages --diff

Each case runs command lines in its own folder and records their exit statuses, a hash of each file they wrote, a
hash of its decoded pixels, and the text of stdout and stderr. Times and the folder's name are masked. `--check` exits
with 1 if anything differs; differences in the groups that `--allow` names are only listed.

The baseline is valid for one machine and one set of libraries, because encoders change their bytes between versions. Do
not commit it. The commands run in this process, so that torch is imported once; `pyproject.toml` names them, and no
other part of the package is imported. Not covered: `--watch`, `--cluster`, terminals, signals.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib
import json
import os
import re
import shlex
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

from support.decoded import decoded
from support.environment import ENVIRONMENT, TESTS, leave
from support.hash_cases import cases
from support.hash_inputs import input_files

Programs = dict[str, Callable[[], None]]
GROUPS = ("files", "json", "messages")
_TIME = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?= (?:s|ms|MP/s|images/s|images/s)\b)")
_RATES = re.compile(r"( in N s): [^;\n]*")  # shown only for longer runs
_TIME_KEYS = re.compile(r"seconds|.*_m?s|ms(_per_\w+)?|times?|version")
_EMBEDDED = re.compile(r"data:image/\w+;base64,[\w+/=]+")
_LIBRARIES = ("torch", "numpy", "pillow", "tifffile", "imagecodecs", "isal", "rich", "typer")


def programs() -> Programs:
    """The two entry points in this checkout."""
    root = TESTS.parent
    sys.path.insert(0, str(root))
    scripts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    found = {}
    for name, place in scripts.items():
        module, function = place.split(":")
        found[name] = getattr(importlib.import_module(module), function)
    return found


def record(case: tuple[str, ...], inputs: dict[str, bytes], program_of: Programs) -> dict[str, Any]:
    """Run a case: the "status" of each line, and "files", "json" and "messages" by file or stream."""
    found: dict[str, Any] = {"status": [], "files": {}, "json": {}, "messages": {}}
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="hashes-") as name:
        folder = Path(name).resolve()
        os.chdir(folder)
        try:
            given = _put(inputs, case, folder)
            for number, line in enumerate(case, 1):
                words, _, stdin = line.partition(" < ")
                status, out, err = _run(program_of, shlex.split(words), inputs.get(stdin, b""))
                found["status"].append(status)
                _add(found, f"{number} stdout", out, folder)
                _add(found, f"{number} stderr", err, folder)
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                data, place = path.read_bytes(), path.relative_to(folder).as_posix()
                if given.get(place) != data:
                    _add(found, place, data, folder)
        finally:
            os.chdir(before)
    return found


def _put(inputs: dict[str, bytes], case: tuple[str, ...], folder: Path) -> dict[str, bytes]:
    """Write the inputs and folders that the lines name."""
    words = {word.partition(":")[0] for line in case for word in shlex.split(line)}
    given = {name: data for name, data in inputs.items() if name in words or name.partition("/")[0] in words}
    for name, data in given.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(data)
    return given


def _run(program_of: Programs, words: list[str], stdin: bytes) -> tuple[int | str, bytes, bytes]:
    sys.argv[:] = words
    with _streams(stdin) as read:
        try:
            program_of[words[0]]()
            status = 0
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except Exception as error:
            traceback.print_exc()
            status = type(error).__name__  # one broken command must not prevent the comparison of the others
    return status, *read()


@contextmanager
def _streams(stdin: bytes) -> Iterator[Callable[[], tuple[bytes, bytes]]]:
    """Replace the standard streams of the process by files, which also catches libraries and child processes."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        kept, texts = [os.dup(number) for number in range(3)], (sys.stdin, sys.stdout, sys.stderr)
        for number, file in enumerate((given, out, err)):
            os.dup2(file.fileno(), number)
        for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        printed: list[bytes] = []
        try:
            yield lambda: (printed[0], printed[1])
        finally:
            for stream in (sys.stdin, sys.stdout, sys.stderr):
                stream.close()
            sys.stdin, sys.stdout, sys.stderr = texts
            for number, copy in enumerate(kept):
                os.dup2(copy, number)
                os.close(copy)
            for file in (out, err):
                file.seek(0)
                printed.append(file.read())


def _add(found: dict[str, Any], name: str, data: bytes, folder: Path) -> None:
    """Add a file or stream to its group."""
    if name.endswith((".sqlite", ".sqlite-wal", ".sqlite-shm")):
        found["files"][name] = {"bytes": "holds times"}
    elif name.endswith(".jsonl"):
        found["json"][name] = _masked_json([json.loads(line) for line in data.splitlines()], folder)
    elif name.endswith(".html"):
        text = data.decode()
        for number, image in enumerate(_EMBEDDED.findall(text)):
            found["files"][f"{name} image {number}"] = {"bytes": _hash(image.encode())}
        found["messages"][name] = _masked(_EMBEDDED.sub("image", text), folder)
    elif not name.endswith((" stdout", " stderr")) or (text := _text(data)) is None:
        found["files"][name] = _hashes(data)
    elif text.startswith(("{", "[")):
        found["json"][name] = _masked_json(json.loads(text), folder)
    elif text:
        found["messages"][name] = _masked(text, folder)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _masked(text: str, folder: Path) -> str:
    return _RATES.sub(r"\1", _TIME.sub("N", text.replace(str(folder), "FOLDER")))


def _masked_json(value: Any, folder: Path) -> str:
    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: "masked" if _TIME_KEYS.fullmatch(key) else masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [masked(item) for item in value]
        return _masked(value, folder) if isinstance(value, str) else value

    return json.dumps(masked(value), indent=1, ensure_ascii=False)


def _hashes(data: bytes) -> dict[str, str]:
    pixels = decoded(data)
    return {"bytes": _hash(data)} | ({} if pixels is None else {"pixels": _hash(pixels)})


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]


def recorded(chosen: list[tuple[str, ...]]) -> dict[str, Any]:
    """All cases by their lines, and the versions of the libraries."""
    program_of, inputs = programs(), input_files()
    with (
        mock.patch.dict(os.environ, ENVIRONMENT, clear=True),
        mock.patch.object(os, "_exit", leave),
        mock.patch.object(sys, "argv", []),
    ):
        found = {" && ".join(case): record(case, inputs, program_of) for case in chosen}
    return {"libraries": {name: version(name) for name in _LIBRARIES}, "cases": found}


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[str]]:
    """The differences, one line each, by group; "status" and "cases" are groups too."""
    found: dict[str, list[str]] = {"cases": [], "status": [], **{group: [] for group in GROUPS}}
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            found["cases"].append(f"{name}: {'new' if name in after else 'gone'}")
            continue
        old, new = before[name], after[name]
        if old["status"] != new["status"]:
            found["status"].append(f"{name}: {old['status']} -> {new['status']}")
        for group in GROUPS:
            for part in sorted(old[group].keys() | new[group].keys()):
                if old[group].get(part) != new[group].get(part):
                    found[group].append(f"{name}: {part}: {_difference(old[group].get(part), new[group].get(part))}")
    return found


def _difference(old: Any, new: Any) -> str:
    if old is None or new is None:
        return "new" if old is None else "gone"
    if isinstance(old, str):
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        return "\n".join(("text", *(f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@")))))
    if old.get("pixels") != new.get("pixels"):
        return "pixels"
    return "bytes, and the pixels are the same" if "pixels" in old else "bytes"


def main() -> int:
    """Write or check a baseline. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="FILE", help="record a baseline")
    action.add_argument("--check", type=Path, metavar="FILE", help="compare with a baseline")
    parser.add_argument("--allow", default="", metavar="GROUPS", help="only list differences in these: json,messages")
    parser.add_argument("--diff", action="store_true", help="show the lines that differ")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose lines contain this text")
    chosen = parser.parse_args()
    allowed = set(filter(None, chosen.allow.split(",")))
    if not allowed <= {"json", "messages"}:
        parser.error(f"--allow {chosen.allow}: json and messages can be allowed to differ")
    start_s = time.perf_counter()
    now = recorded([case for case in cases() if chosen.only in " && ".join(case)])
    print(f"{len(now['cases'])} cases in {time.perf_counter() - start_s:.0f} s")
    if chosen.write is not None:
        chosen.write.write_text(json.dumps(now, indent=1, ensure_ascii=False), encoding="utf-8")
        return 0
    baseline = json.loads(chosen.check.read_text(encoding="utf-8"))
    if baseline["libraries"] != now["libraries"]:
        print("the libraries are not those of the baseline; files may differ for that reason")
    before = {name: case for name, case in baseline["cases"].items() if chosen.only in name}
    return _report(differences(before, now["cases"]), allowed, in_full=chosen.diff)


def _report(found: dict[str, list[str]], allowed: set[str], *, in_full: bool) -> int:
    for group, lines in found.items():
        print(f"{group}: {len(lines)} differ{', allowed' if group in allowed and lines else ''}")
        for line in lines:
            print(f"  {line if in_full else line.splitlines()[0]}")
    return int(any(lines for group, lines in found.items() if group not in allowed))


if __name__ == "__main__":
    sys.exit(main())
