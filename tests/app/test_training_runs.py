"""Training runs: what their folders tell, and real processes that are begun, stopped and end badly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import psutil
import pytest

from renderer.errors import LoadError, SplatheadError
from splatviz_app.training_folder import (
    LAUNCH,
    OUTPUT,
    Launch,
    Machine,
    RunReader,
    RunState,
    disk_use,
    last_lines,
)
from splatviz_app.training_runs import (
    Plan,
    TrainingRuns,
    begin,
    command,
    environment,
    read_picture,
    resume,
)
from tests.training.heads import SMALL, write_dataset
from training.config import TrainingError
from training.loop import SETTINGS, STOP, save_settings
from training.records import LOG

BEGUN = {"kind": "begin", "images": 0, "message": "Beginning."}
ENDED = {"kind": "end", "images": 80, "is_stopped": False}
STOPPED = {"kind": "end", "images": 48, "is_stopped": True}


def status(images, **values):
    return {"kind": "status", "images": images, "s_per_kimg": 30.0, "eta_s": 600.0, **values}


def log(folder, *lines, at=100.0, mode="a"):
    """Write lines of a log, a second apart."""
    with open(folder / LOG, mode) as file:
        for number, line in enumerate(lines):
            file.write(json.dumps({"time": at + number} | line) + "\n")


def launched(folder, process=None, when=99.0, **values):
    """Leave what starting a process leaves; of one that is gone if none is given."""
    pid, born = (process.pid, psutil.Process(process.pid).create_time()) if process else (2**30, 0)
    launch = asdict(Launch(Machine(), pid, born, when, printed=0, **values))
    (folder / LAUNCH).write_text(json.dumps(launch | launch.pop("machine")))


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has not begun; of 80 images."""
    folder = tmp_path / "runs" / "first"
    save_settings(folder, SMALL, preset="tiny", data="/heads")
    return folder


@pytest.fixture
def alive():
    """A process that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


# ---- what a folder tells


@pytest.mark.parametrize(
    ("lines", "is_alive", "asked", "state"),
    [
        ([], True, False, RunState.STARTING),
        ([BEGUN], True, False, RunState.RUNNING),
        ([BEGUN, status(16)], True, True, RunState.STOPPING),
        ([BEGUN, status(16), STOPPED], True, False, RunState.STOPPING),
        ([BEGUN, status(16), STOPPED], False, False, RunState.STOPPED),
        ([BEGUN, status(80), ENDED], False, False, RunState.DONE),
        ([BEGUN, status(16)], False, False, RunState.CRASHED),
        ([BEGUN, status(16)], False, True, RunState.STOPPED),
        ([], False, False, RunState.CRASHED),
    ],
)
def test_where_a_run_stands(run, alive, lines, is_alive, asked, state):
    log(run, *lines)
    launched(run, alive if is_alive else None)
    if asked:
        (run / STOP).touch()

    assert RunReader(run).read().state is state


def test_a_run_that_was_stopped_and_failed_to_begin_again_has_crashed(run):
    log(run, BEGUN, status(48), STOPPED, at=100.0)
    launched(run, when=200.0)
    assert RunReader(run).read().state is RunState.CRASHED

    launched(run, when=200.0, was_ended=True)
    assert RunReader(run).read().state is RunState.STOPPED


def test_a_process_that_took_over_a_number_is_no_run(run, alive):
    log(run, BEGUN)
    launched(run, alive)
    launch = json.loads((run / LAUNCH).read_text())
    (run / LAUNCH).write_text(json.dumps(launch | {"born": launch["born"] - 100}))

    assert RunReader(run).read().state is RunState.CRASHED


def test_figures_pictures_and_events_are_read_from_the_log(run):
    log(
        run,
        BEGUN,
        {"kind": "grid", "images": 0, "file": "grids/front-000000000.png"},
        {"kind": "metric", "images": 0, "stand-in": 8.5},
        status(16, generator_loss=0.75, discriminator_loss=None),
        {"kind": "grid", "images": 16, "file": "grids/front-000000016.png"},
        {"kind": "grid", "images": 16, "file": "../elsewhere-000000016.png"},
        {"kind": "warning", "images": 16, "message": "The disk is nearly full."},
    )
    (run / "checkpoints" / "000000016.safetensors").write_bytes(b"12345")

    found = RunReader(run).read()

    assert (found.images, found.total, found.saved_images) == (16, 80, 16)
    assert found.grids == {"front": run / "grids" / "front-000000016.png"}
    assert found.curves["metric/stand-in"].values.tolist() == [8.5]
    assert found.curves["status/generator_loss"].kimg.tolist() == [0.016]
    assert "status/discriminator_loss" not in found.curves, "what is no number is no figure"
    assert found.seconds_per_kimg == 30.0
    assert [event.split("  ")[1:] for event in found.events] == [
        ["0k", "Beginning."],
        ["0k", "stand-in 8.5"],
        ["0.016k", "G 0.75"],
        ["0.016k", "The disk is nearly full."],
    ]
    assert found.disk_bytes == disk_use(run) > 5


def test_a_line_is_read_once_and_only_when_it_is_finished(run):
    reader = RunReader(run)
    log(run, BEGUN, status(16, x=1.0))
    reader.read()
    line = json.dumps({"time": 1.0} | status(32, x=2.0))
    with open(run / LOG, "a") as file:
        file.write(line[:20])
    assert reader.read().curves["status/x"].values.tolist() == [1.0]

    with open(run / LOG, "a") as file:
        file.write(line[20:] + "\n")
    assert reader.read().curves["status/x"].values.tolist() == [1.0, 2.0]
    assert reader.read().curves["status/x"].kimg.tolist() == [0.016, 0.032]


def test_a_log_that_was_rewound_is_read_anew(run):
    reader = RunReader(run)
    log(run, BEGUN, status(16, x=1.0), status(32, x=2.0))
    reader.read()

    os.rename(run / LOG, run / "old")
    log(run, BEGUN, status(16, x=1.0), {**BEGUN, "images": 16}, status(32, x=5.0), at=300.0)

    assert reader.read().curves["status/x"].values.tolist() == [1.0, 5.0]


def test_a_long_curve_is_thinned_and_keeps_its_newest_point(run):
    log(run, BEGUN, *(status(8 * n, x=float(n)) for n in range(1, 5001)))

    curve = RunReader(run).read().curves["status/x"]

    assert len(curve.kimg) <= 2000
    assert curve.values[-1] == 5000
    assert np.all(np.diff(curve.kimg) > 0)
    np.testing.assert_allclose(curve.kimg * 125, curve.values)


def test_the_time_left_shrinks_while_nothing_is_logged(run, alive):
    launched(run, alive)
    log(run, BEGUN, status(16), at=time.time() - 100)

    assert 450 < RunReader(run).read().seconds_left < 550


# ---- why it ended


@pytest.mark.parametrize(
    ("lines", "printed", "sentence", "advice"),
    [
        ([], "The pictures are 64 px.\n", "The pictures are 64 px.", "no checkpoint yet"),
        ([BEGUN, {"kind": "failure", "images": 8, "message": "It has diverged."}], "It has diverged.\n",
         "It has diverged.", "Resume goes on from 0.008 kimg"),
        ([BEGUN], "0.1 of 4 kimg\n", "without a word", "memory ran out"),
        ([BEGUN], "Traceback (most recent call last):\n  x\nKeyError: 3\n", "KeyError: 3", "report these"),
        ([BEGUN, {"kind": "failure", "images": 8, "message": "CUDA out of memory."}],
         "Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory.\n",
         "CUDA out of memory.", "microbatch"),
        ([BEGUN], "OSError: [Errno 28] No space left on device\n", "without a word", "Free some space"),
    ],
)  # fmt: skip
def test_why_a_run_ended_and_what_to_do(run, lines, printed, sentence, advice):
    log(run, *lines)
    launched(run)
    (run / OUTPUT).write_text(printed)
    if lines:
        (run / "checkpoints" / "000000008.safetensors").touch()

    failure = RunReader(run).read().failure

    assert sentence in failure.sentence
    assert advice in failure.advice
    assert failure.lines[-1] == printed.splitlines()[-1]


def test_the_last_lines_are_those_of_the_last_start_and_few(tmp_path):
    path = tmp_path / OUTPUT
    path.write_bytes(b"of an earlier start\n")
    begin = path.stat().st_size
    with open(path, "ab") as file:
        file.write("".join(f"line {n} ü\n\n" for n in range(9000)).encode())

    lines = last_lines(path, begin)

    assert lines[-1] == "line 8999 ü"
    assert 5 < len(lines) < 40
    assert last_lines(path, path.stat().st_size) == ()
    assert last_lines(tmp_path / "none") == ()


# ---- all of them


def wait(runs, done, what, seconds=120):
    """Let time go by as the window does; return the errors that came meanwhile."""
    end, errors = time.monotonic() + seconds, []
    while not done():
        assert time.monotonic() < end, f"{what} did not happen: {runs.runs} {errors}"
        errors += runs.update()
        time.sleep(0.01)
    return errors


@pytest.fixture
def runs(tmp_path):
    runs = TrainingRuns(tmp_path / "runs", pace=0.05)
    yield runs
    for one in runs.runs or ():
        runs.end_now(one.folder)
    wait(runs, lambda: not runs.is_busy, "the end")
    runs.close()


def test_runs_are_listed_alive_first_and_what_is_no_run_is_named_or_left_out(
    run, runs, alive, tmp_path
):
    assert runs.runs is None
    log(run, BEGUN, STOPPED)
    second = run.parent / "second"
    save_settings(second, SMALL, preset="tiny", data="/heads")
    log(second, BEGUN, at=50.0)
    launched(second, alive, when=49.0)
    (run.parent / "other").mkdir()
    (run.parent / "broken").mkdir()
    (run.parent / "broken" / SETTINGS).write_text("{")

    wait(runs, lambda: runs.runs is not None, "a look")

    assert [one.name for one in runs.runs] == ["second", "first"]
    assert len(runs.damaged) == 1
    assert "broken" in runs.damaged[0]
    assert runs.find(run).state is RunState.STOPPED
    runs.look_in(tmp_path / "nowhere")
    wait(runs, lambda: runs.runs is not None, "a look")
    assert runs.runs == ()
    runs.look_in(run.parent)
    (second / LAUNCH).unlink()  # the process is no run, and is not to be ended as one
    wait(runs, lambda: runs.runs is not None and len(runs.runs) == 2, "a look")


def plan(tmp_path, **values):
    plain = Plan(
        folder=tmp_path / "runs" / "first", preset="tiny", config=replace(SMALL, kimg=1000.0),
        data=tmp_path / "heads", index=None, head_model=None, start=None, machine=Machine(),
    )  # fmt: skip
    return replace(plain, **values)


def test_a_folder_in_use_is_not_taken(run, tmp_path):
    before = (run / SETTINGS).read_text()

    with pytest.raises(TrainingError, match="Choose another name"):
        begin(plan(tmp_path))

    assert (run / SETTINGS).read_text() == before


def test_a_run_that_is_alive_is_not_started_twice(run, alive):
    launched(run, alive)

    with pytest.raises(TrainingError, match="is running already"):
        resume(run, Machine(), None)


def test_settings_that_cannot_be_read_are_not_resumed(run):
    (run / SETTINGS).write_text("{")

    with pytest.raises(LoadError):
        resume(run, Machine(), None)


def test_errors_of_what_was_asked_for_come_back_once(run, runs, tmp_path):
    runs.begin(plan(tmp_path))

    errors = wait(runs, lambda: not runs.is_busy, "the refusal")

    assert [type(error) for error in errors] == [TrainingError]
    assert runs.update() == []


def test_processes_and_gpus_become_a_command_and_an_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    one, two = Machine(), Machine(gpus=(0, 2))

    assert command(tmp_path, one)[1:] == [
        "-m", "training", "train", "--out", str(tmp_path), "--device", "cpu",
    ]  # fmt: skip
    assert command(tmp_path, two)[1:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "training", "train", "--out", str(tmp_path), "--device", "cuda",
    ]  # fmt: skip
    assert environment(two)["CUDA_VISIBLE_DEVICES"] == "4,9"
    assert environment(one)["OMP_WAIT_POLICY"] == "PASSIVE"
    assert int(environment(Machine((), 2))["OMP_NUM_THREADS"]) >= 1
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert environment(two)["CUDA_VISIBLE_DEVICES"] == "0,2"


def test_a_picture_is_shrunk_and_a_damaged_one_is_none(tmp_path):
    from PIL import Image

    Image.new("RGB", (3000, 1000), (255, 0, 0)).save(tmp_path / "wide.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n")

    pixels = read_picture(tmp_path / "wide.png")

    assert pixels.dtype == np.uint8
    height, width = pixels.shape[:2]
    assert width < 3000
    assert abs(width - 3 * height) <= 3
    assert pixels[0, 0].tolist() == [255, 0, 0, 255]
    assert read_picture(tmp_path / "bad.png") is None
    assert read_picture(tmp_path / "none.png") is None


# ---- real processes


def test_a_real_run_that_cannot_begin_says_why(runs, tmp_path):
    write_dataset(tmp_path / "heads")
    (tmp_path / "heads" / "mask" / "00003.png").unlink()
    first = tmp_path / "runs" / "first"

    runs.begin(plan(tmp_path))
    wait(runs, lambda: (r := runs.find(first)) and r.state is RunState.CRASHED, "the crash")

    failure = runs.find(first).failure
    assert "1 without a mask: 16/00003.png" in failure.sentence
    assert "Resume begins again" in failure.advice


def test_a_real_run_is_ended_before_it_begins_and_at_once_when_it_trains(runs, tmp_path):
    write_dataset(tmp_path / "heads")
    first = tmp_path / "runs" / "first"
    runs.begin(plan(tmp_path))
    wait(runs, lambda: (r := runs.find(first)) and r.state is RunState.STARTING, "the start")

    runs.stop(first)
    wait(runs, lambda: runs.find(first).state is RunState.STOPPED, "its end")
    assert not (first / LOG).exists()
    pid = json.loads((first / LAUNCH).read_text())["pid"]
    assert not psutil.pid_exists(pid), "it is not left behind as a zombie"

    runs.resume(first, Machine())
    wait(runs, lambda: runs.find(first).images > 0, "the first step")
    runs.end_now(first)
    wait(runs, lambda: not runs.find(first).state.is_alive, "its end")
    assert runs.find(first).state is RunState.STOPPED
    assert not any(isinstance(error, SplatheadError) for error in runs.update())
