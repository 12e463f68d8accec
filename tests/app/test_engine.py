"""The engine: the newest request first, then one step of the job; step by step, and on its thread.

Threads are synchronised by events, never by waiting some time. `LONG` only ends a test that hangs.
"""

from __future__ import annotations

import gc
import threading

import pytest

from splatviz_app.engine import Engine, JobState, Step

LONG = 30.0  # seconds


def counting(total, diary=None, result=None):
    """Work that notes its steps, and its end however it comes."""
    diary = [] if diary is None else diary
    try:
        for done in range(total):
            diary.append(done)
            yield Step(done + 1, total, f"step {done + 1}")
    finally:
        diary.append("cleaned up")
    return result


def failing(steps=1, error=None):
    for done in range(steps):
        yield Step(done, 0, "before")
    raise error or ValueError("no such thing")


@pytest.fixture
def drawn():
    """Requests in the order in which they were drawn."""
    return []


@pytest.fixture
def engine(drawn):
    def render(request):
        drawn.append(request)
        if isinstance(request, Exception):
            raise request
        return f"picture of {request}"

    engine = Engine(render)
    yield engine
    engine.stop()


# ---- frames


def test_the_newest_request_wins(engine, drawn):
    for request in "abc":
        engine.submit(request)

    assert engine.step()
    assert not engine.step()

    assert drawn == ["c"]
    assert engine.frame == "picture of c"
    assert engine.frames_drawn == 1


def test_nothing_to_do_is_said(engine):
    assert engine.step() is False
    assert engine.frame is None


def test_a_failing_render_keeps_the_last_frame_and_gives_the_failure(engine):
    engine.submit("a")
    engine.step()
    error = RuntimeError("the splats are gone")
    engine.submit(error)

    engine.step()

    assert engine.frame == "picture of a"
    assert engine.failure.error is error
    assert "Traceback" in engine.failure.details
    assert "the splats are gone" in engine.failure.details
    assert not engine.is_drawing


def test_a_picture_that_succeeds_ends_the_failure(engine):
    engine.submit(RuntimeError("once"))
    engine.step()
    engine.submit("b")
    engine.step()

    assert engine.failure is None
    assert engine.frame == "picture of b"


def test_it_is_drawing_from_the_request_to_the_picture():
    seen = []
    engine = Engine(lambda request: seen.append(engine.is_drawing))

    assert not engine.is_drawing
    engine.submit("a")
    assert engine.is_drawing
    engine.step()

    assert seen == [True]
    assert not engine.is_drawing


# ---- jobs


def test_a_frame_goes_before_a_job(engine, drawn):
    diary = []
    engine.start_job("count", counting(3, diary))
    engine.submit("a")

    engine.step()
    assert (drawn, diary) == (["a"], [])
    engine.step()
    engine.submit("b")
    engine.step()

    assert (drawn, diary) == (["a", "b"], [0])


def test_a_job_runs_to_its_result(engine):
    job = engine.start_job("count", counting(3, result="all"))

    assert job.state is JobState.PENDING
    engine.step()
    assert job.state is JobState.RUNNING
    assert (job.progress.done, job.progress.total, job.progress.message) == (1, 3, "step 1")
    assert job.fraction == pytest.approx(1 / 3)
    engine.drain()

    assert job.state is JobState.DONE
    assert job.result == "all"
    assert job.error is None
    assert engine.jobs == ()


def test_cancelling_closes_the_generator_and_cleans_up(engine):
    diary = []
    job = engine.start_job("count", counting(100, diary))
    engine.step()
    engine.step()

    job.cancel()
    engine.drain()

    assert job.state is JobState.CANCELLED
    assert diary == [0, 1, "cleaned up"]
    assert engine.jobs == ()
    assert engine.take_finished() == [job]


def test_a_job_cancelled_before_it_began_does_not_begin(engine):
    diary = []
    job = engine.start_job("count", counting(3, diary))

    job.cancel()
    engine.drain()

    assert job.state is JobState.CANCELLED
    assert diary == []


def test_cancelling_a_job_that_is_over_changes_nothing(engine):
    job = engine.start_job("count", counting(1, result="all"))
    engine.drain()

    job.cancel()
    engine.drain()

    assert job.state is JobState.DONE
    assert job.result == "all"


def test_a_failing_job_ends_failed_with_details_and_the_next_one_runs(engine):
    error = ValueError("no such thing")
    bad = engine.start_job("bad", failing(2, error))
    good = engine.start_job("good", counting(1, result="fine"))

    engine.drain()

    assert bad.state is JobState.FAILED
    assert bad.error is error
    assert "no such thing" in bad.details
    assert "in failing" in bad.details
    assert good.result == "fine"


def test_a_cleaning_up_that_fails_is_a_failure_too(engine):
    def untidy():
        try:
            yield Step(0, 1, "begun")
        finally:
            raise OSError("cannot remove the file")

    job = engine.start_job("untidy", untidy())
    engine.step()
    job.cancel()
    engine.drain()

    assert job.state is JobState.FAILED
    assert "cannot remove the file" in job.details
    assert engine.jobs == ()


def test_a_failing_job_leaves_the_picture_alone(engine):
    engine.submit("a")
    engine.start_job("bad", failing())

    engine.drain()

    assert engine.frame == "picture of a"
    assert engine.failure is None


def test_a_second_job_waits(engine):
    diary = []
    first = engine.start_job("first", counting(2, diary))
    second = engine.start_job("second", counting(2, diary))

    assert engine.jobs == (first, second)
    engine.step()
    assert second.state is JobState.PENDING
    engine.drain()

    assert diary == [0, 1, "cleaned up", 0, 1, "cleaned up"]


def test_a_waiting_job_that_is_cancelled_does_not_wait_for_the_one_before_it(engine):
    diary = []
    first = engine.start_job("first", counting(5, diary))
    second = engine.start_job("second", counting(5, diary))
    engine.step()

    second.cancel()
    engine.step()

    assert second.state is JobState.CANCELLED
    assert engine.jobs == (first,)
    engine.drain()
    assert first.state is JobState.DONE
    assert diary == [0, 1, 2, 3, 4, "cleaned up"]


def test_finished_jobs_are_handed_over_once(engine):
    first = engine.start_job("first", counting(1))
    second = engine.start_job("second", failing())
    engine.drain()

    assert engine.take_finished() == [first, second]
    assert engine.take_finished() == []


def test_a_job_may_start_another(engine):
    inner = []

    def outer():
        yield Step(0, 1, "starting")
        inner.append(engine.start_job("inner", counting(1, result="inside")))

    engine.start_job("outer", outer())
    engine.drain()

    assert inner[0].result == "inside"


def test_the_window_is_woken_after_each_picture_and_step():
    woken = []
    engine = Engine(lambda request: request, wake=lambda: woken.append(engine.frame))
    engine.submit("a")
    engine.start_job("count", counting(1))

    engine.drain()

    # The picture, the step, the end of the job.
    assert woken == ["a", "a", "a"]


def test_an_estimate_follows_the_pace(engine):
    job = engine.start_job("count", counting(4))
    assert job.seconds_left is None
    engine.step()

    job.seconds = 10.0
    assert job.seconds_left == pytest.approx(30.0)  # a quarter took ten seconds
    job.seconds = 0.01
    assert job.seconds_left is None  # too early to tell
    engine.drain()

    assert job.seconds_left is None


@pytest.mark.parametrize(("done", "total", "fraction"), [(3, 0, 0.0), (7, 4, 1.0), (1, 4, 0.25)])
def test_the_fraction_done_stays_between_nothing_and_all(engine, done, total, fraction):
    def odd():
        yield Step(done, total, "")

    job = engine.start_job("odd", odd())
    assert job.fraction == 0
    engine.step()

    assert job.fraction == fraction


def test_stopping_closes_what_runs_and_what_waits(engine):
    diary = []
    running = engine.start_job("running", counting(100, diary))
    waiting = engine.start_job("waiting", counting(100))
    engine.step()

    engine.stop()

    assert diary == [0, "cleaned up"]
    assert [running.state, waiting.state] == [JobState.CANCELLED] * 2
    assert engine.jobs == ()


# ---- on its thread


def test_a_request_from_another_thread_wakes_it_and_is_drawn_there():
    drawn = threading.Event()
    where = []

    def render(request):
        where.append(threading.current_thread().name)
        return request

    engine = Engine(render, wake=drawn.set)
    engine.start()
    try:
        engine.submit("a")

        assert drawn.wait(LONG)
        assert engine.frame == "a"
        assert where == ["engine"]
    finally:
        engine.stop()


def test_a_sleeping_engine_is_woken_again_and_again():
    drawn = threading.Semaphore(0)
    engine = Engine(lambda request: request, wake=drawn.release)
    engine.start()
    try:
        for number in range(50):
            engine.submit(number)
            assert drawn.acquire(timeout=LONG)
            assert engine.frame == number
    finally:
        engine.stop()


def test_requests_during_a_slow_picture_are_replaced_and_not_queued():
    begun, go_on, drawn = threading.Event(), threading.Event(), threading.Semaphore(0)
    seen = []

    def render(request):
        seen.append(request)
        begun.set()
        assert go_on.wait(LONG)
        return request

    engine = Engine(render, wake=drawn.release)
    engine.start()
    try:
        engine.submit(0)
        assert begun.wait(LONG)
        for number in range(1, 10):
            engine.submit(number)
        assert engine.is_drawing
        go_on.set()
        assert drawn.acquire(timeout=LONG)
        assert drawn.acquire(timeout=LONG)
    finally:
        engine.stop()

    assert seen == [0, 9]
    assert engine.frame == 9
    assert not engine.is_drawing


def test_a_job_started_from_another_thread_is_done_between_pictures():
    over = threading.Event()

    def wake():
        if not engine.jobs:
            over.set()

    engine = Engine(lambda request: request, wake=wake)
    engine.start()
    try:
        job = engine.start_job("count", counting(20, result="all"))
        engine.submit("a")

        assert over.wait(LONG)
        assert job.result == "all"
    finally:
        engine.stop()
    assert engine.frame == "a"


def test_stopping_during_a_long_job_finishes_the_step_and_cleans_up_on_the_engines_thread():
    begun, go_on = threading.Event(), threading.Event()
    diary = []

    def endless():
        try:
            while True:
                begun.set()
                assert go_on.wait(LONG)
                yield Step(0, 0, "on and on")
        finally:
            diary.append(threading.current_thread().name)

    engine = Engine(lambda request: request)
    engine.start()
    job = engine.start_job("endless", endless())
    assert begun.wait(LONG)

    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    go_on.set()
    stopper.join(LONG)

    assert not stopper.is_alive()
    assert job.state is JobState.CANCELLED
    assert diary == ["engine"]
    assert engine.jobs == ()


def test_stopping_does_not_wait_forever_for_a_step_that_does_not_end():
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck():
        try:
            begun.set()
            assert go_on.wait(LONG)
            yield Step(0, 0, "at last")
        finally:
            ended.set()

    engine = Engine(lambda request: request)
    engine.start()
    job = engine.start_job("stuck", stuck())
    assert begun.wait(LONG)

    engine.stop(patience=0.0)
    # Nobody has touched the generator that the engine's thread is in.
    assert job.state is JobState.RUNNING
    go_on.set()

    assert ended.wait(LONG)


def test_a_stopped_engine_can_start_again():
    drawn = threading.Event()
    engine = Engine(lambda request: request, wake=drawn.set)
    engine.start()
    engine.stop()

    engine.start()
    try:
        engine.submit("again")
        assert drawn.wait(LONG)
    finally:
        engine.stop()
    assert engine.frame == "again"


def test_stopping_twice_or_before_starting_is_harmless():
    engine = Engine(lambda request: request)

    engine.stop()
    engine.start()
    engine.stop()
    engine.stop()

    assert engine.jobs == ()


# ---- patience


def test_patient_work_waits_while_there_is_other_work(engine):
    diary, other = [], []
    patient = engine.start_job("minutes", counting(3, diary), is_patient=True)
    engine.step()
    engine.start_job("moments", counting(2, other))

    for _ in range(3):
        engine.step()

    assert other == [0, 1, "cleaned up"]
    assert diary == [0]
    engine.drain()
    assert patient.state is JobState.DONE


# ---- pausing


def test_a_paused_job_rests_while_frames_and_other_jobs_go_on(engine, drawn):
    diary, other = [], []
    paused = engine.start_job("long", counting(5, diary))
    engine.step()
    paused.pause()
    following = engine.start_job("short", counting(2, other))
    engine.submit("a")

    engine.drain()

    assert drawn == ["a"]
    assert following.state is JobState.DONE
    assert diary == [0]
    assert paused.state is JobState.RUNNING
    assert engine.jobs == (paused,)
    paused.resume()
    engine.drain()
    assert diary == [0, 1, 2, 3, 4, "cleaned up"]
    assert paused.state is JobState.DONE


def test_a_paused_job_can_be_cancelled(engine):
    diary = []
    job = engine.start_job("long", counting(5, diary))
    engine.step()
    job.pause()

    job.cancel()
    engine.drain()

    assert job.state is JobState.CANCELLED
    assert diary == [0, "cleaned up"]


def test_a_pause_does_not_count_as_time_spent(engine, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("splatviz_app.engine.time.monotonic", lambda: clock[0])

    def ticking():
        for done in range(4):
            clock[0] += 1.0
            yield Step(done + 1, 4, "")

    job = engine.start_job("long", ticking())
    engine.step()
    engine.step()
    job.pause()
    clock[0] += 3600.0
    job.resume()
    engine.step()

    assert job.seconds == 3.0
    assert job.seconds_left == pytest.approx(1.0)


def test_the_engines_thread_sleeps_while_its_only_job_is_paused_and_wakes_when_it_goes_on(engine):
    moments = {"begun": threading.Event(), "go": threading.Event(), "ended": threading.Event()}

    def work():
        moments["begun"].set()
        moments["go"].wait(LONG)
        yield Step(1, 2, "")
        moments["ended"].set()

    job = engine.start_job("long", work())
    engine.start()
    assert moments["begun"].wait(LONG)
    job.pause()
    moments["go"].set()
    engine.submit("a picture drawn while it rests")
    while engine.is_drawing or engine.frame is None:
        threading.Event().wait(0.001)
    assert not moments["ended"].is_set()

    job.resume()

    assert moments["ended"].wait(LONG)


# ---- the interpreter's own pauses


def test_no_garbage_is_looked_for_during_a_step_nor_later_among_what_it_imported(
    engine, monkeypatch, tmp_path
):
    (tmp_path / "a_library_of_this_test.py").write_text("things = [[] for _ in range(1000)]")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []

    def work():
        seen.append(gc.isenabled())
        before = gc.get_freeze_count()
        yield Step(0, 2, "")
        seen.append(gc.get_freeze_count() == before)
        import a_library_of_this_test  # noqa: F401

        yield Step(1, 2, "")
        seen.append(gc.get_freeze_count() > before + 1000)

    gc.unfreeze()
    engine.start_job("loads a library", work())
    assert gc.isenabled()
    engine.drain()

    assert seen == [False, True, True]
    assert gc.isenabled()
    gc.unfreeze()


def test_a_failing_step_leaves_the_search_for_garbage_on(engine):
    engine.start_job("fails", failing())
    engine.drain()

    assert gc.isenabled()
