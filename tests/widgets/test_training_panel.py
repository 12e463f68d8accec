"""The Training panel: real runs begun, stopped, found again and resumed by its buttons."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from splatviz_app.engine import JobState
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from splatviz_app.training_draft import Draft
from splatviz_app.training_folder import RunState
from splatviz_app.training_runs import TrainingRuns, end_now
from tests.training.heads import SMALL, write_dataset
from tests.widgets.hand import Hand
from training.config import TrainingConfig, write_json
from training.records import read_log
from widgets.training import TrainingPanel
from widgets.training_settings import LABELS

# Exports often, so that there is something new to be shown.
QUICK = replace(SMALL, grid_kimg=0.032, metric_kimg=10.0, checkpoint_kimg=10.0, metric_images=8)


@pytest.fixture
def session(tmp_path):
    """A session whose runs lie in the test's folder; none of them outlives the test."""
    session = new_session(Preferences(backend="torch", runs_folder=str(tmp_path / "runs")))
    session.viewport = (40, 24)
    yield session
    for folder in (tmp_path / "runs").glob("*"):
        end_now(folder)


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "heads")


def panel_of(session, config: TrainingConfig = QUICK) -> TrainingPanel:
    """A panel that looks often, and whose form proposes small settings."""
    panel = TrainingPanel()
    panel.runs = TrainingRuns(session.preferences.runs, pace=0.05)
    panel.form.draft = replace(Draft.of_config(config, "tiny"), name="")
    return panel


def wait(hand, done, what, seconds=150):
    """Let frames go by until something has happened."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} did not happen: {hand.texts}"
        hand.session.engine.drain()
        hand.panel.poll_dialogs(hand.session)
        hand.frames()
        time.sleep(0.01)
    hand.frames(3)


def think_of_a_run(hand):
    """Open the form, once nothing moves any more because something was found out."""
    runs = hand.panel.runs
    wait(hand, lambda: runs.runs is not None and runs.gpus is not None, "a look around")
    hand.click("New run…")
    hand.frames(2)


def only_run(panel):
    return panel.runs.runs[0] if panel.runs.runs else None


# ---- without a run


def test_without_runs_it_says_how_to_begin_one(session):
    with Hand(panel_of(session), session) as hand:
        wait(hand, lambda: hand.panel.runs.runs is not None, "a look")

        assert hand.sees("There are no training runs yet")
        think_of_a_run(hand)
        assert hand.sees("Choose a dataset, or synthetic heads")
        assert not hand.can_use("Start")
        hand.click("Back to the runs")
        assert hand.finds("New run…")


def test_it_fits_a_narrow_column_and_a_wide_window(session, tmp_path):
    from training.loop import save_settings

    save_settings(tmp_path / "runs" / "one", SMALL, preset="tiny", data="/heads")
    for size in ((180, 300), (1200, 700)):
        with Hand(panel_of(session), session, size) as hand:
            wait(hand, lambda hand=hand: hand.finds("Resume"), "the run")
            think_of_a_run(hand)
            hand.frames(3)


def test_every_setting_has_a_row_that_is_found_by_its_name_or_explanation(session):
    assert set(LABELS) == set(write_json(SMALL))
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        assert hand.finds("Length")
        assert not hand.finds("kNN count")
        hand.type("Find", "root anchor")
        assert hand.finds("kNN count")
        assert not hand.finds("Length")
        for label in LABELS.values():
            hand.type("Find", label)
            assert hand.sees(label), label


def test_settings_are_typed_and_one_press_mends_what_does_not_fit(session, data):
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        hand.panel.form.draft = Draft()
        think_of_a_run(hand)
        hand.type("G rate", "0.00125")
        hand.type("Batch", "16")
        hand.type("Dataset", str(data))
        wait(hand, lambda: hand.sees("are 16 px, and the settings say 64 px"), "the check")
        assert hand.sees("12 pictures of 16 px with masks")
        assert not hand.can_use("Start")

        hand.click("Train at 16 px")
        hand.frames(2)

        assert hand.can_use("Start")
        config = hand.panel.form.draft.config()
        assert (config.generator_lr, config.batch, config.resolution) == (0.00125, 16, 16)


def test_faults_of_a_dataset_are_named_and_it_is_checked_again(session, data):
    mask = data / "mask" / "00003.png"
    kept = mask.read_bytes()
    mask.unlink()
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        hand.type("Dataset", str(data))
        wait(hand, lambda: hand.sees("1 without a mask: 16/00003.png."), "the check")
        assert not hand.can_use("Start")

        mask.write_bytes(kept)
        hand.click("Check again")
        wait(hand, lambda: hand.can_use("Start"), "the second check")

        hand.type("Dataset", str(data / "none"))
        wait(hand, lambda: hand.sees("does not exist"), "the third check")
        assert not hand.can_use("Start")


def test_synthetic_heads_ask_for_their_model_once(session, tmp_path):
    model = tmp_path / "model.npz"
    model.touch()
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        hand.click("Synthetic")
        assert hand.sees("Name the head model")
        hand.type("Head model", str(tmp_path / "none.npz"))
        assert hand.sees("There is no head model")
        hand.type("Head model", str(model))
        assert hand.can_use("Start")
    assert session.preferences.head_model == str(model)

    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        assert hand.panel.form.draft.is_synthetic
        assert hand.can_use("Start")


def test_a_run_begins_with_the_generator_that_is_open(session, data, generator_file):
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        hand.type("Dataset", str(data))
        wait(hand, lambda: hand.can_use("Start"), "the check")
        session.open(generator_file)
        wait(hand, lambda: session.opened is not None, "the generator")

        hand.choose("Begin with", "The open generator")

        wait(hand, lambda: not hand.can_use("Start"), "a look at the generator")
        resolution = session.opened.summary.resolution
        assert hand.sees(f"a generator of {resolution} px, and the settings say 16 px")
        assert hand.panel.form.draft.start == str(generator_file)
        hand.choose("Begin with", "Fresh networks")
        hand.frames(2)
        assert hand.can_use("Start")
        assert hand.panel.form.draft.start == ""


def test_gpus_and_processes_are_chosen_where_there_are_several(session):
    panel = panel_of(session)
    with Hand(panel, session, size=(320, 1600)) as hand:
        wait(hand, lambda: panel.runs.gpus is not None, "a look at the machine")
        panel.runs.gpus = ("Big", "Small")
        think_of_a_run(hand)
        hand.click("1 Small")
        hand.click("0 Big")
        chosen = panel.form.draft.machine.gpus
        hand.click("0 Big")
        assert {chosen, panel.form.draft.machine.gpus} == {(1,), (0, 1)}


def test_a_newer_generator_is_shown_live_until_the_user_turns_to_something_else(
    session, tmp_path, head_ply
):
    from models.checkpoint import save_generator
    from tests.models.small import small_generator
    from training.loop import save_settings

    folder = tmp_path / "runs" / "one"
    save_settings(folder, SMALL, preset="tiny", data="/heads")
    save_generator(folder / "generator.safetensors", small_generator(seed=1))
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        wait(hand, lambda: hand.can_use("Show live"), "the run")
        hand.click("Show live")
        wait(hand, lambda: session.is_settled and session.scene is not None, "the generator")
        first = session.scene
        session.rig = replace(session.rig, yaw=0.5)
        hand.settle()

        save_generator(folder / "generator.safetensors", small_generator(seed=2))
        wait(hand, lambda: session.scene != first and session.is_settled, "the newer one")

        session.undo()
        hand.settle()
        assert session.rig.yaw == 0.0, "the newer generator was no step of undo"
        session.open(head_ply)
        wait(hand, lambda: session.scene.path == str(head_ply), "another head")
        save_generator(folder / "generator.safetensors", small_generator(seed=3))
        newest = (folder / "generator.safetensors").stat().st_mtime_ns
        wait(hand, lambda: hand.panel.runs.runs[0].exported == newest, "the third")
        hand.frames(5)
        assert session.scene.path == str(head_ply)
        assert session.opening is None


# ---- real runs


def test_a_run_that_crashes_is_shown_with_its_last_lines_and_what_to_do(session, data):
    with Hand(panel_of(session), session, size=(320, 1600)) as hand:
        think_of_a_run(hand)
        hand.type("Dataset", str(data))
        wait(hand, lambda: hand.can_use("Start"), "the check")
        (data / "16" / "00005.png").write_bytes(b"no picture any more")
        hand.click("Start")

        wait(hand, lambda: hand.sees("crashed") and hand.finds("Copy these lines"), "the crash", 60)

        run = only_run(hand.panel)
        assert "1 that cannot be read: 16/00005.png" in run.failure.sentence
        assert hand.sees(run.failure.sentence)
        assert hand.sees("Resume begins again")
        assert hand.can_use("Resume")
        assert session.banner == "", "a run that failed is no failure of the window"


@pytest.mark.window
def test_a_run_outlives_the_window_is_found_again_stopped_resumed_and_shown_live(
    session, data, tmp_path, monkeypatch
):
    log = tmp_path / "runs" / "run-1" / "log.jsonl"

    def begin(ctx, panel, wait):
        ctx.item_click("//Training/New run…")
        ctx.item_click("//Training/##Dataset")
        ctx.key_chars_replace_enter(str(data))
        wait(lambda: panel.form.known(panel.runs).data is not None, "the check")
        ctx.item_click("//Training/##Length")
        ctx.key_chars_replace_enter("1000")
        ctx.item_click("//Training/Start")
        wait(lambda: (run := only_run(panel)) and run.images > 0, "the first steps")
        assert only_run(panel).state is RunState.RUNNING
        assert only_run(panel).config.kimg == 1000

    in_window(session, panel_of(session), begin, monkeypatch)

    again = new_session(session.preferences)
    seen = []

    def go_on(ctx, panel, wait):
        wait(lambda: only_run(panel), "the run that was begun")
        assert only_run(panel).state is RunState.RUNNING
        wait(lambda: only_run(panel).exported and only_run(panel).disk_bytes > 0, "an export")
        ctx.item_click("//Training/Show live")
        wait(lambda: again.scene is not None, "the generator")
        seen.append(again.scene)
        wait(lambda: again.scene != seen[0], "a newer generator")
        assert again.scene.path == seen[0].path == str(only_run(panel).generator)
        assert not again.history.can_undo, "a newer generator is no step of undo"

        ctx.item_click("//Training/Stop cleanly")
        wait(lambda: only_run(panel).state is RunState.STOPPED, "its end")
        run = only_run(panel)
        assert run.saved_images == run.images > 0
        assert read_log(log)[-1]["is_stopped"]

        ctx.item_open("//Training/Settings##of the run")
        ctx.item_click("//Training/##Length")
        ctx.key_chars_replace_enter(f"{(run.images + 16) / 1000:g}")
        ctx.item_click("//Training/Resume")
        wait(lambda: only_run(panel).state is RunState.DONE, "its end")
        assert only_run(panel).images == run.images + 16
        wait(lambda: again.scene.changed == only_run(panel).exported, "the last generator")

    in_window(again, panel_of(again), go_on, monkeypatch)
    begins = [line for line in read_log(log) if line["kind"] == "begin"]
    assert [line["message"][:5] for line in begins] == ["Begin", "Going"]
    images = [line["images"] for line in read_log(log) if line["kind"] == "status"]
    assert images == sorted(set(images)), "no step was made twice"


def in_window(session, panel, act, monkeypatch):
    """Let a hand act on the real window, with `panel` as its Training panel."""
    import widgets.training
    from benchmarks.window_hand import drive_window

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(widgets.training, "TrainingPanel", lambda: panel)

    def test(ctx):
        def wait(done, what, seconds=150):
            end = time.monotonic() + seconds
            while not done():
                said = [entry.text for entry in session.log.entries]
                seen = [(run.state, run.images, run.failure) for run in panel.runs.runs or ()]
                assert time.monotonic() < end, f"{what} did not happen: {seen} {said}"
                ctx.yield_()
                time.sleep(0.02)  # software OpenGL leaves the run a core

        ctx.window_focus("//Training")
        ctx.yield_(4)
        act(ctx, panel, wait)

    drive_window(session, test, raise_crashes=True)
    assert session.banner == ""
    assert all(job.state is not JobState.FAILED for job in session.engine.jobs)
