"""An attacker may have planted the record or a file next to it: no link is followed, no file of the user is lost."""

import contextlib
import os
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.attacked_record import RECORD, bounded, change, refused, victims
from support.jobs import job_of
from support.running import upsample

from upsample_cli.batch.record import file
from upsample_cli.batch.record.file import copied, locked
from upsample_cli.batch.record.record import Record
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import RecordError

pytestmark = [
    pytest.mark.usefixtures("attacked_record"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX links, pipes and owners"),
]

SIBLINGS = ("", "-wal", "-shm", "-journal")


def super_journal(victim):
    """A rollback journal that names `victim` as the super-journal, which SQLite removes after playing it back."""
    name = os.fsencode(victim.absolute())
    magic = bytes.fromhex("d9d505f920a163d7")
    head = (magic + struct.pack(">5I", 0, 0, RECORD.stat().st_size // 4096, 512, 4096)).ljust(512, b"\0")
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    sj_page = 0x40000000 // 4096 + 1
    return head + struct.pack(">I", sj_page) + name + struct.pack(">II", len(name), checksum) + magic


def test_a_journal_next_to_the_record_is_refused_and_deletes_nothing():
    journal = Path(f"{RECORD}-journal")
    journal.write_bytes(super_journal(Path("victim/thesis.txt")))
    before = victims()
    refused(cause="is next to the record", at=journal)
    assert victims() == before


def test_the_crafted_journal_deletes_files_if_sqlite_reads_it():
    """The control: without the check the attack works."""
    Path(f"{RECORD}-journal").write_bytes(super_journal(Path("victim/thesis.txt")))
    change("SELECT count(*) FROM images")
    assert not Path("victim/thesis.txt").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of a descriptor")
@pytest.mark.parametrize("is_held", [True, False])
def test_a_journal_planted_after_the_check_deletes_nothing(is_held, monkeypatch):
    """The control: without the lock that keeps SQLite from treating the journal as hot, the attack works."""
    opened = file._opened

    def planted(path):
        Path(f"{RECORD}-journal").write_bytes(super_journal(Path("victim/thesis.txt")))
        return opened(path)

    monkeypatch.setattr(file, "_opened", planted)
    if not is_held:
        monkeypatch.setattr(file, "no_journal_is_hot", lambda _: contextlib.nullcontext())
    with pytest.raises(RecordError) if is_held else contextlib.suppress(RecordError):
        locked(RECORD).close()
    assert Path("victim/thesis.txt").exists() == is_held


def test_opening_a_record_twice_keeps_it_locked():
    with closing(locked(RECORD)), pytest.raises(RecordError, match="another run is at work here"):
        locked(RECORD)
    locked(RECORD).close()


def link(path):
    path.symlink_to(Path("victim/thesis.txt").absolute())


def dangling(path):
    path.symlink_to(Path("victim/new.db").absolute())


def zero(path):
    path.symlink_to("/dev/zero")


def hard_link(path):
    path.hardlink_to("victim/thesis.txt")


def another_record(path):
    Path("mine.db").rename("victim/mine.db")
    path.symlink_to(Path("victim/mine.db").absolute())


def another_records_hard_link(path):
    Path("mine.db").rename("victim/mine.db")
    path.hardlink_to("victim/mine.db")


@pytest.mark.parametrize("end", SIBLINGS)
@pytest.mark.parametrize(
    "make", [link, dangling, zero, hard_link, os.mkfifo, os.mkdir, another_record, another_records_hard_link]
)
def test_links_pipes_and_devices_are_refused(make, end):
    path = Path(f"{RECORD}{end}")
    Path("mine.db").write_bytes(RECORD.read_bytes())
    if not end:
        path.unlink()
    make(path)
    before, status = victims(), path.lstat()
    refused(at=path, run=bounded if make in (zero, os.mkfifo) else upsample)
    assert victims() == before
    assert path.lstat().st_ino == status.st_ino


@pytest.mark.parametrize("name", ["s.db", "deep/s.db"])
def test_a_record_named_by_the_user_follows_the_same_rules(name):
    Path(name).parent.mkdir(exist_ok=True)
    dangling(Path(name))
    refused("--state", name, cause="is a symbolic link", at=name)


def test_a_link_that_appears_during_planning_is_refused():
    record = Record(Path("s.db"), Options())
    dangling(Path("s.db"))
    with pytest.raises(RecordError, match="symbolic link"):
        record.begin()
    assert not Path("victim/new.db").exists()


def test_a_record_of_another_user_is_refused():
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    for end in ("", "-wal"):
        Path(f"{RECORD}{end}").touch()
        os.chown(f"{RECORD}{end}", 12345, -1)
        refused(cause="belongs to another user", at=f"{RECORD}{end}")
        os.chown(f"{RECORD}{end}", 0, -1)
    assert upsample("in", "-o", "out").status == 0


def test_a_record_is_accepted_on_file_systems_with_one_owner_for_all_files(monkeypatch):
    """As on FAT, SMB, and NFS for root: the user who creates a file does not own it."""
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert [file["status"] for file in upsample("in", "-o", "out", "--json").document["files"]] == [
        "skipped",
        "written",
    ]


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_huge_record_is_refused_at_once(end):
    path = Path(f"{RECORD}{end}")
    path.touch()
    os.truncate(path, 1 << 40)
    refused(cause="is larger than a record may be (1 GiB)", at=path, run=bounded)


def test_a_log_that_claims_too_many_pages_is_refused():
    """Copying that many pages would fill the disk."""
    forge_pages(0xFFFFFFF0)
    refused(cause="is larger than a record may be (1 GiB)", run=bounded)


def forge_pages(count):
    """Leave a log as a killed run does; the log and the database claim this many pages."""
    with closing(sqlite3.connect(RECORD, isolation_level=None)) as db:
        db.execute("UPDATE images SET seconds = 1")
        log = bytearray(Path(f"{RECORD}-wal").read_bytes())
        database = RECORD.read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")
    order = "big" if log[3] & 1 else "little"

    def added(data, sums):
        first, second = sums
        for at in range(0, len(data), 8):
            first = (first + int.from_bytes(data[at : at + 4], order) + second) & 0xFFFFFFFF
            second = (second + int.from_bytes(data[at + 4 : at + 8], order) + first) & 0xFFFFFFFF
        return first, second

    sums = added(log[:24], (0, 0))
    for at in range(32, len(log), 24 + page_bytes):
        if int.from_bytes(log[at + 4 : at + 8], "big"):
            log[at + 4 : at + 8] = count.to_bytes(4, "big")
        sums = added(log[at + 24 : at + 24 + page_bytes], added(log[at : at + 8], sums))
        log[at + 16 : at + 24] = struct.pack(">II", *sums)
    RECORD.write_bytes(database[:28] + count.to_bytes(4, "big") + database[32:])
    Path(f"{RECORD}-wal").write_bytes(log)


def test_a_dry_run_copies_a_record_and_its_log(monkeypatch):
    with closing(sqlite3.connect(RECORD, isolation_level=None)) as db:
        db.execute("UPDATE images SET failure = 'in the log'")
        assert Path(f"{RECORD}-wal").stat().st_size > 0
        with closing(copied(RECORD)) as copy:
            assert copy.rows("SELECT failure FROM images")[0][0] == "in the log"


def test_a_dry_run_ignores_an_empty_record():
    RECORD.write_bytes(b"")
    assert upsample("in", "-o", "out", "--dry-run").status == 0
    assert RECORD.read_bytes() == b""


def test_creating_a_record_creates_no_journal():
    path = Path("n" * 245 + ".db")  # with "-journal" appended, longer than a name can be
    for _ in range(2):
        with closing(Record(path, Options())) as record:
            record.begin()
            record.started(job_of(Path("in/a.png"), Path("out/a.png"), 3, 5))
            assert record.of_output("out/a.png").status == "started"


def test_a_record_without_wal_mode_gets_it_back():
    change("PRAGMA journal_mode = DELETE")
    assert upsample("in", "-o", "out").status == 0
    with closing(sqlite3.connect(RECORD)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
