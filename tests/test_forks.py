"""A process that is forked while other threads work can use the package."""

import ast
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from support.environment import ENVIRONMENT

import upsample_cli
from upsample_cli import forks
from upsample_cli.atomic.files import new_file, remove_unfinished
from upsample_cli.images.codecs.quiet import quiet_pillow

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PACKAGE = Path(upsample_cli.__file__).parent
NOT_HELD = {
    "engine/cuda.py",  # CUDA cannot be used in a forked process
    "models/network.py",  # nor torch's own threads
    # Those of one run, which a forked process does not continue.
    "batch/cluster/worker.py", "batch/folder.py", "batch/workers/processes.py", "cli/report/counts.py",
}  # fmt: skip


@pytest.fixture
def locks(monkeypatch):
    monkeypatch.setattr(forks, "_locks", [])
    return forks._locks


def status_of_fork(check):
    """The exit status of a forked process: 0 if `check` is true there."""
    child = os.fork()
    if not child:
        signal.alarm(20)  # a process that hangs is a failure
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked_while_held(lock):
    """Fork while another thread holds a lock. Whether the lock is free in the forked process."""
    is_held = threading.Event()

    def hold():
        with lock:
            is_held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    status = status_of_fork(lambda: lock.acquire(timeout=0.5))
    thread.join()
    return status == 0


@pytest.mark.usefixtures("locks")
def test_a_lock_that_another_thread_holds_is_free_in_the_forked_process():
    assert not forked_while_held(threading.RLock())  # the control
    lock = forks.held_at_forks()
    assert forked_while_held(lock)
    assert lock.acquire(timeout=1)  # here, too
    lock.release()


def is_free(lock):
    """Whether another thread can take a lock."""
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(blocking=False) and lock.release() is None))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.usefixtures("locks")
def test_a_thread_that_holds_a_lock_can_fork():
    """As in a handler of a signal, or in a method of a caller's file. Afterwards, both processes hold the lock."""
    lock = forks.held_at_forks()
    with lock:
        assert status_of_fork(lambda: not is_free(lock) and lock.release() is None and is_free(lock)) == 0
        assert not is_free(lock)
    assert is_free(lock)


ORDER = """
import os, threading, time
import upsample_cli
import concurrent.futures.thread, logging
from upsample_cli.forks import held_at_forks
late, own, is_held, found = threading.Lock(), held_at_forks(), threading.Event(), []
os.register_at_fork(before=late.acquire, after_in_parent=late.release, after_in_child=late.release)
def nested():
    with own:
        is_held.set()
        while not late.locked():  # the fork has not begun
            time.sleep(0.01)
        time.sleep(0.2)
        found.append({lock}.acquire(timeout=3) and {lock}.release() is None)
thread = threading.Thread(target=nested)
thread.start()
is_held.wait()
if not os.fork():
    os._exit(0)
thread.join()
print(found)
"""


@pytest.mark.parametrize(
    ("lock", "is_found"),
    [("logging._lock", True), ("concurrent.futures.thread._global_shutdown_lock", True), ("late", False)],
)
def test_a_fork_takes_our_locks_before_those_of_python(lock, is_found):
    """A thread that holds ours calls `getLogger` or `submit`. The control: a lock of a module imported later."""
    command = [sys.executable, "-W", "ignore", "-c", ORDER.format(lock=lock)]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == f"{[is_found]}\n", ran.stderr


def test_a_fork_takes_the_locks_in_the_order_of_the_threads(locks):
    """A thread holds the outer lock and waits for the inner one: the fork must not hold the inner one meanwhile."""
    inner, outer = forks.held_at_forks(), forks.held_at_forks()
    assert locks == [inner, outer]
    is_held = threading.Event()

    def nested():
        with outer:
            is_held.set()
            time.sleep(0.2)
            if not inner.acquire(timeout=20):
                return
            inner.release()
            ended.append(True)

    ended = []
    thread = threading.Thread(target=nested)
    thread.start()
    is_held.wait()
    assert status_of_fork(lambda: inner.acquire(timeout=1) and outer.acquire(timeout=1)) == 0
    thread.join()
    assert ended


def test_threads_that_fork_at_the_same_time_release_their_own_locks_only(locks):
    locks += [threading.RLock() for _ in range(5)]
    threads = [threading.Thread(target=lambda: [status_of_fork(lambda: True) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(is_free(lock) for lock in locks)


def test_the_module_may_be_imported_during_a_fork(locks):
    """Then `_release` is called without `_hold`. It leaves the locks that another thread has taken for its fork."""
    lock, may_end = forks.held_at_forks(), threading.Event()
    is_held = threading.Event()

    def fork():
        forks._hold()
        is_held.set()
        may_end.wait()
        forks._release()

    thread = threading.Thread(target=fork)
    thread.start()
    is_held.wait()
    forks._release()
    assert not is_free(lock)
    may_end.set()
    thread.join()
    assert [is_free(lock) for lock in locks] == [True]


def locks_in(source):
    """Lines of a source text on which a lock is made that no fork holds."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {call: getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls}
    return [call.lineno for call in calls if names[call] in {"Lock", "RLock", "Condition"}]


def test_every_lock_that_processes_share_is_held_at_forks():
    with_locks = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if locks_in(path.read_text(encoding="utf-8"))
    }
    assert with_locks == NOT_HELD | {"forks.py"}


def test_a_lock_that_is_not_held_at_forks_is_found():
    """The control of the test above."""
    assert locks_in("a = threading.Lock()\nb = held_at_forks()\nc = RLock()") == [1, 3]


@pytest.mark.parametrize("is_inside_itself", [False, True])
def test_a_forked_process_has_pillows_limits_again(is_inside_itself):
    """Unless the thread that forks reads an image itself."""
    limit = Image.MAX_IMAGE_PIXELS
    entered, left = threading.Event(), threading.Event()

    def read():
        with quiet_pillow():
            entered.set()
            left.wait()

    def has_limits():
        if not is_inside_itself:
            return limit == Image.MAX_IMAGE_PIXELS
        was_off = Image.MAX_IMAGE_PIXELS is None
        own.close()
        return was_off and limit == Image.MAX_IMAGE_PIXELS

    with contextlib.ExitStack() as own:
        if is_inside_itself:
            own.enter_context(quiet_pillow())
        thread = threading.Thread(target=read)
        thread.start()
        entered.wait()
        assert Image.MAX_IMAGE_PIXELS is None != limit
        assert status_of_fork(has_limits) == 0
        left.set()
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS


def test_limits_return_if_another_thread_leaves():
    limit = Image.MAX_IMAGE_PIXELS
    with quiet_pillow():
        quiet = quiet_pillow()
        thread = threading.Thread(target=quiet.__enter__)
        thread.start()
        thread.join()
        quiet.__exit__(None, None, None)
        assert Image.MAX_IMAGE_PIXELS is None
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.usefixtures("in_tmp_path")
def test_a_forked_process_that_exits_leaves_the_files_that_its_parent_writes():
    with new_file("a.bin", overwrite=False) as file:
        file.write(b"whole")
        assert status_of_fork(lambda: remove_unfinished() is None) == 0
    assert Path("a.bin").read_bytes() == b"whole"


FOLDER = """
import os, sys, threading
from pathlib import Path
from upsample_cli import upsample_folder
def fork_once(_share, forked=[]):
    if not forked:
        forked.append(os.fork())
        if not forked[0]:
            sys.exit(0)  # runs what was registered with atexit, and drops the run
        assert os.waitpid(forked[0], 0)[1] == 0
with upsample_folder("in", "out/", 2, on_progress=fork_once) as run:
    print([result.status for result in run])
"""


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("count", [1, 3])
def test_a_process_forked_during_a_run_does_not_end_it(count):
    from support.running import save

    Path("in").mkdir()
    for number in range(count):
        save(f"in/{number}.png", (1600, 1200))
    command = [sys.executable, "-c", FOLDER]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == f"{['written'] * count}\n", ran.stderr
