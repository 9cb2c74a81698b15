"""The compiled route computes before its check has ended, and nothing that it computed is used before."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.compiled_route import WrongTapRoute
from support.environment import ENVIRONMENT, NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.resizing import expected
from support.running import names, pixels_of, save

from upsample_cli import upsample_file
from upsample_cli.atomic import files
from upsample_cli.engine import resize, resize_compiled
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes import early, select
from upsample_cli.engine.routes.compiled import CompiledRoute, instruction_sets
from upsample_cli.engine.routes.early import confirm_checks, early_route, may_be_early
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.enlarge import prepared, run
from upsample_cli.enlarge.by_header import ByHeader
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.errors import RejectedRouteError
from upsample_cli.kernels.kernel import kernel_named

pytestmark = [
    pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED),
    pytest.mark.usefixtures("in_tmp_path"),
]
BILINEAR, SIXTEEN = kernel_named("bilinear", 2), Arithmetic(np.dtype(np.uint8), 16)
WITH_ALPHA = Arithmetic(np.dtype(np.uint8), 16, has_alpha=True)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(autouse=True)
def _forget_routes(monkeypatch):
    monkeypatch.setattr(early, "_checks", {})
    monkeypatch.setattr(prepared, "_known", ByHeader())
    for cached in (select._chosen, select._built):
        cached.cache_clear()
    yield
    for check in early._checks.values():
        check.result()  # one that still runs would choose a route for the next test
    for cached in (select._chosen, select._built):
        cached.cache_clear()


@pytest.fixture
def wrong(monkeypatch):
    """The compiled route has one wrong tap."""
    monkeypatch.setattr(select, "CompiledRoute", WrongTapRoute)


@pytest.fixture
def late_check(monkeypatch):
    """Checks begin when a route has computed."""
    has_computed, call, check = threading.Event(), CompiledRoute.__call__, early._Check.run

    def computed(route, padded, out):
        call(route, padded, out)
        has_computed.set()

    monkeypatch.setattr(CompiledRoute, "__call__", computed)
    monkeypatch.setattr(early._Check, "run", lambda this: has_computed.wait(60) and check(this))


@pytest.mark.parametrize("arithmetic", [SIXTEEN, WITH_ALPHA], ids=["rgb", "rgba"])
def test_a_route_computes_while_its_check_still_runs(arithmetic):
    pixels = hostile_pixels((9, 7, 4), np.uint8)
    padded, out = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge"), np.empty((18, 14, 4), np.uint8)
    with select._choosing:  # the check waits for it
        early_route(BILINEAR, arithmetic, 4)(padded, out)
        assert_same_pixels(out, expected_pixels(pixels, 2, has_alpha=arithmetic.has_alpha))
        waiting = threading.Thread(target=confirm_checks)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.parametrize("arithmetic", [SIXTEEN, WITH_ALPHA], ids=["rgb", "rgba"])
def test_the_checked_route_is_the_one_that_computes(arithmetic):
    with select._choosing:  # the check waits for it
        route = early_route(BILINEAR, arithmetic, 4)._route
    confirm_checks()
    chosen = select.chosen_route(BILINEAR, arithmetic, 4)
    parts = ("_straight", "_premultiplied") if arithmetic.has_alpha else ()
    assert [getattr(route, part) for part in parts] == [getattr(chosen, part) for part in parts]
    assert parts or route is chosen


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize("arithmetic", [SIXTEEN, WITH_ALPHA], ids=["rgb", "rgba"])
def test_a_wrong_route_is_rejected(arithmetic):
    early_route(BILINEAR, arithmetic, 4)
    with pytest.raises(RejectedRouteError):
        confirm_checks()
    assert not may_be_early()


def test_a_correct_route_is_not_rejected():
    """The control of the test above."""
    early_route(BILINEAR, SIXTEEN, 4)
    confirm_checks()
    assert may_be_early()


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize("is_replacing", [False, True])
def test_wrong_pixels_never_have_the_name_of_the_output(is_replacing, monkeypatch):
    """Two images with the same header: what was prepared for the first must not serve the second."""
    put, placed = files._put, []

    def recorded(folder, temporary, *arguments, **named):
        placed.append(pixels_of(Path(folder.path) / temporary))
        put(folder, temporary, *arguments, **named)

    monkeypatch.setattr(files, "_put", recorded)
    for number in range(2):
        save(f"{number}.png", (17, 11), seed=number)
        if is_replacing:
            save(f"{number}_x2.png", (3, 3))
        shares = []
        result = upsample_file(
            f"{number}.png", factor=2, device="cpu", overwrite=is_replacing, on_progress=shares.append
        )
        assert result.engine == "row-phases"
        assert shares == sorted(set(shares))
        assert shares[-1] == 1
        assert_same_pixels(placed[number], expected_pixels(pixels_of(f"{number}.png"), 2))
    assert len(placed) == 2
    assert names(".") == ["0.png", "0_x2.png", "1.png", "1_x2.png"]


@pytest.mark.usefixtures("wrong", "late_check")
def test_an_image_is_repeated_once_in_a_process(monkeypatch):
    begun, enlarged = [], run._enlarged

    def recorded(job, *arguments, **named):
        begun.append(job.input.name)
        return enlarged(job, *arguments, **named)

    monkeypatch.setattr(run, "_enlarged", recorded)
    for number in range(3):
        save(f"{number}.png", (17, 11), seed=number)
        upsample_file(f"{number}.png", factor=2, device="cpu")
    assert begun == ["0.png", "0.png", "1.png", "2.png"]


@pytest.mark.usefixtures("wrong")
def test_nothing_wrong_is_sent_into_a_pipe():
    save("a.png", (300, 200))
    options, sent = Options(factor=2, device="cpu"), io.BytesIO()
    job = plan_job(Path("a.png"), options, output=Path("b.png"))
    object.__setattr__(job, "target_stream", sent)
    run.enlarge_image(job, options)
    assert_same_pixels(pixels_of(sent), expected_pixels(pixels_of("a.png"), 2))


@pytest.mark.parametrize("is_right", [True, False])
def test_another_size_is_made_while_its_check_still_runs(is_right, monkeypatch):
    has_made, may_end, engines = threading.Event(), threading.Event(), []
    made = resize_compiled.CompiledResize._resample
    monkeypatch.setattr(resize_compiled.CompiledResize, "_resample", lambda *given: made(*given) or has_made.set())
    monkeypatch.setattr(resize, "_agrees", lambda *_: may_end.wait(60) and is_right)
    resize._agreeing.cache_clear()
    save("a.png", (21, 30))
    thread = threading.Thread(target=lambda: engines.append(upsample_file("a.png", "b.png", 1.5, device="cpu").engine))
    thread.start()
    assert has_made.wait(60)
    thread.join(0.2)
    assert thread.is_alive()
    assert "b.png" not in names(".")
    may_end.set()
    thread.join(60)
    assert engines == ["compiled" if is_right else "matrices"]
    assert_same_pixels(pixels_of("b.png"), expected(pixels_of("a.png"), (32, 45)))
    resize._agreeing.cache_clear()


def test_no_check_begins_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(early, "_MOST", 1)
    early_route(BILINEAR, SIXTEEN, 4)
    assert isinstance(early_route(kernel_named("bilinear", 3), Arithmetic(np.dtype(np.uint8), 9), 3), CompiledRoute)
    assert len(early._checks) == 1


class FaultyRoute(CompiledRoute):
    """As with a compiled module of another version: it raises an error when it is made, or when it computes."""

    is_made = False

    def __init__(self, *arguments):
        if not self.is_made:
            raise TypeError("not the arguments of this version")
        super().__init__(*arguments)

    def __call__(self, *_):
        raise TypeError("not the arguments of this version")


class FaultyCalls(FaultyRoute):
    is_made = True


@pytest.mark.parametrize("faulty", [FaultyRoute, FaultyCalls])
def test_a_route_that_raises_an_error_is_not_used(faulty, monkeypatch):
    monkeypatch.setattr(select, "CompiledRoute", faulty)
    for number in range(2):
        save(f"{number}.png", (17, 11), seed=number)
        assert upsample_file(f"{number}.png", factor=2, device="cpu").engine == "row-phases"
        assert_same_pixels(pixels_of(f"{number}_x2.png"), expected_pixels(pixels_of(f"{number}.png"), 2))


@pytest.mark.usefixtures("late_check")
def test_an_error_that_remains_ends_the_second_attempt(monkeypatch):
    """The control of the test above: the check passes, and the error is raised for the image itself."""
    calls, call = [], CompiledRoute.__call__

    def only_tests(route, padded, out):
        calls.append(padded.shape)
        call(route, padded, out)
        if padded.shape[:2] == (19, 13):
            raise MemoryError

    monkeypatch.setattr(CompiledRoute, "__call__", only_tests)
    save("a.png", (17, 11))
    with pytest.raises(MemoryError):
        upsample_file("a.png", factor=2, device="cpu")
    assert calls.count((19, 13, 3)) == 2
    assert len(calls) > 2
    assert names(".") == ["a.png"]


@pytest.mark.parametrize("is_wrong", [True, False])
def test_a_check_needs_no_thread_of_its_own(is_wrong, monkeypatch):
    """The system may have no more threads. Nothing waits for a check that has not begun."""
    begin = threading.Thread.start

    def start(thread):
        if thread.name == "upsample-check":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    if is_wrong:
        monkeypatch.setattr(select, "CompiledRoute", WrongTapRoute)
    for number in range(2):
        save(f"{number}.png", (17, 11), seed=number)
        engine = upsample_file(f"{number}.png", factor=2, device="cpu").engine
        assert engine == ("row-phases" if is_wrong else "compiled")
        assert_same_pixels(pixels_of(f"{number}_x2.png"), expected_pixels(pixels_of(f"{number}.png"), 2))


@pytest.mark.parametrize(("engine", "dtype"), [("layer", np.uint8), ("auto", np.float32)])
def test_a_route_that_is_not_compiled_is_chosen_first(engine, dtype):
    route = early_route(BILINEAR, SIXTEEN._replace(pixel_dtype=np.dtype(dtype)), 3, engine)
    assert type(route) is (PlainRoute if engine == "layer" else RowPhaseRoute)
    assert not early._checks


@needs_fork
def test_a_process_forked_during_a_check_does_not_wait_for_its_thread():
    early_route(BILINEAR, SIXTEEN, 4)
    child = os.fork()
    if not child:
        confirm_checks()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
@pytest.mark.parametrize("is_right", [True, False])
def test_a_check_that_another_process_has_begun_is_repeated(is_right):
    """A thread may begin a check after a fork has waited for the others."""
    parent, may_end = os.getpid(), threading.Event()

    def check():
        return os.getpid() != parent or (may_end.wait(60) and is_right)

    assert early.begin_check(check)
    other = early._checks.pop((check,))  # so that the fork does not wait for it
    child = os.fork()
    if not child:
        signal.alarm(20)  # a process that hangs is a failure
        early._checks[(check,)] = other
        confirm_checks()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    may_end.set()
    assert other.result() is is_right  # the control: the check of this process has its own result


@needs_fork
def test_a_process_forked_during_a_choice_can_choose():
    """As with an array in one thread, while another thread starts a DataLoader."""
    holding, released = threading.Event(), []

    def choose():
        with select._choosing:
            holding.set()
            time.sleep(0.3)
            released.append(True)

    threading.Thread(target=choose).start()
    holding.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)  # a process that hangs is a failure
        select.chosen_route(BILINEAR, SIXTEEN, 4)
        os._exit(0)
    assert released
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert select._choosing.acquire(timeout=1)
    select._choosing.release()


WATCHED = """
import os, sys, threading
from upsample_cli.cli import start
from upsample_cli.engine import library
begin, waited = library.begin_loading, []
def watched(names):
    if {is_first}:
        library.library_path()
        library._dlopen()
        begin(names)
    sys.addaudithook(watch)
def watch(event, arguments):
    is_import = event == "import" and str(arguments[1]).endswith((".so", ".pyd"))
    if is_import or event in ("ctypes.dlopen", "ctypes.dlsym"):
        name = str(arguments[event == "ctypes.dlsym"])
        if "torch" not in name and not name.startswith("_ZN2at"):
            waited.append(name)
library.begin_loading = watched
leave = os._exit
os._exit = lambda status: print(*waited) or leave(status)
sys.argv = ["upsample", *{arguments}, "-q"]
start.upsample()
"""


@pytest.mark.parametrize(
    ("arguments", "libraries"),
    [
        (("a.jpg", "-o", "b.jpg"), {"PIL._imaging", "libcuda.so.1", "dlopen"}),
        (("a.png", "-o", "b.tif"), {"isal.isal_zlib"}),
        (("a.webp", "-o", "b.png"), {"PIL._webp"}),
        (("a.jpg", "--format", "webp"), {"imagecodecs._webp"}),
        (("a.jpg", "-o", "B.AVIF"), {"PIL._avif"}),
        (("a.jpg", "-o", "b.jxl"), {"imagecodecs._jpegxl"}),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_no_library_of_an_image_waits_for_libtorch(is_first, arguments, libraries):
    """The system loads one library at a time, and libtorch takes a quarter of a second.

    ctypes keeps Python's global lock while it waits, also in the thread of the check: then all threads wait.
    """
    save(arguments[0], (640, 400))
    code = WATCHED.format(is_first=is_first, arguments=arguments)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    waited = set(ran.stdout.split())
    assert not waited if is_first else libraries <= waited


COUNTED = """
import os, time
if {begins_loading}:
    from upsample_cli.engine.library import begin_loading
    begin_loading().join()
    end_s = time.monotonic() + 30
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < end_s:
        time.sleep(0.01)  # a thread that has ended for Python is ending for the system
import numpy
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="lists the threads as Linux does")
@pytest.mark.parametrize("given", ["4", None])
def test_numpy_starts_no_thread_in_a_process_that_enlarges(given):
    """OpenBLAS starts a thread for each core. They wait in a loop, for a tenth of a second of processor time."""
    variable = {} if given is None else {"OPENBLAS_NUM_THREADS": given}
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "OPENBLAS_NUM_THREADS"} | variable
    counts = []
    for begins_loading in (True, False):
        command = [sys.executable, "-c", COUNTED.format(begins_loading=begins_loading)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        count, left = ran.stdout.split()
        assert left == str(given)
        counts.append(int(count))
    assert counts[0] == 1
    assert (counts[1] > 1) == (len(os.sched_getaffinity(0)) > 1)


@pytest.mark.parametrize("error", ["ImportError", "ValueError"])
def test_a_broken_library_that_a_run_does_not_need_does_not_end_it(error):
    """A library that was compiled for another numpy raises a ValueError."""
    save("a.png", (17, 11))
    Path("broken").mkdir()
    Path("broken/imagecodecs.py").write_text(f"raise {error}", encoding="utf-8")
    first = os.pathsep.join(["broken", ENVIRONMENT.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-m", "upsample_cli", "a.png", "-o", "b.png"], env=ENVIRONMENT | {"PYTHONPATH": first},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert_same_pixels(pixels_of("b.png"), expected_pixels(pixels_of("a.png"), 2))
