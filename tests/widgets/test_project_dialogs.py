"""What is asked around projects, answered by a hand."""

from __future__ import annotations

import pytest
from imgui_bundle import imgui

from models.latents import LatentSettings
from splatviz_app.autosave import Autosave
from splatviz_app.preferences import Preferences
from splatviz_app.projects.content import ModelReference
from splatviz_app.projects.loading import MissingModel, Source
from splatviz_app.session import new_session
from tests.widgets.hand import Hand
from widgets import project_dialogs
from widgets.project_dialogs import ProjectDialogs


class Dialogs(ProjectDialogs):
    """The dialogs as a panel, for the hand."""

    title = "Dialogs"


class Chooser:
    """A file dialog whose user has made up their mind: it answers at the second look."""

    def __init__(self, key):
        self.key, self.asked, self.answer, self.looks = key, [], None, 0

    @property
    def is_open(self):
        return self.looks > 0

    def _ask(self, *arguments, **_):
        self.asked.append(arguments)
        self.looks = 2

    open_file = save_file = _ask

    def poll(self):
        if not self.looks:
            return None
        self.looks -= 1
        return self.answer if not self.looks else None


@pytest.fixture
def session(tmp_path, head_ply):
    """A session with a head and work that is not saved."""
    session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
    session.viewport = (40, 24)
    session.open(head_ply)
    for _ in range(3):
        session.engine.drain()
        session.update(0.01)
    session.latent = LatentSettings(seed=3)
    return session


@pytest.fixture
def dialogs(monkeypatch):
    monkeypatch.setattr(project_dialogs, "FileDialog", Chooser)
    monkeypatch.setattr(project_dialogs, "has_native_dialog", lambda: False)
    return Dialogs()


@pytest.fixture
def hand(session, dialogs):
    with Hand(dialogs, session, size=(800, 600)) as hand:
        yield hand


def wait(hand):
    hand.frames(4)
    while hand.session.project.is_saving:
        hand.frames()
    hand.frames(2)


def test_quitting_asks_and_saves_under_a_name(session, hand, dialogs, tmp_path):
    dialogs._name.answer = tmp_path / "ada"
    session.project.quit()
    hand.frames(3)
    assert hand.sees("Save the changes to “Untitled” before closing?")
    hand.click("Save")
    wait(hand)
    assert session.wants_quit
    assert (tmp_path / "ada.splathead").exists()
    ((_, _, proposed),) = dialogs._name.asked
    assert proposed == tmp_path / "Untitled.splathead"


def test_no_name_is_no_saving_and_no_quitting(session, hand, dialogs, tmp_path):
    session.project.quit()
    hand.frames(3)
    hand.click("Save")
    wait(hand)
    assert not session.wants_quit
    assert list(tmp_path.glob("*.splathead")) == []
    hand.frames(5)
    assert len(dialogs._name.asked) == 1, "it does not come again"


@pytest.mark.parametrize("how", ["Cancel", "escape"])
def test_cancelling_goes_back_to_work(how, session, hand):
    session.project.quit()
    hand.frames(3)
    if how == "Cancel":
        hand.click("Cancel")
    else:
        hand.press(imgui.Key.escape)
    hand.frames(3)
    assert not session.wants_quit
    assert session.project.question is None
    assert not hand.finds("Don't save")


def test_not_saving_quits(session, hand):
    session.project.quit()
    hand.frames(3)
    hand.click("Don't save")
    hand.frames(3)
    assert session.wants_quit


@pytest.mark.parametrize("answer", ["Replace", "Cancel"])
def test_a_file_that_exists_is_replaced_only_after_asking(answer, session, hand, dialogs, tmp_path):
    there = tmp_path / "there.splathead"
    there.write_bytes(b"something of mine")
    dialogs._name.answer = there
    dialogs.save_as(session)
    hand.frames(5)
    assert hand.sees("there.splathead exists already")
    dialogs._name.answer = None
    hand.click(answer)
    wait(hand)
    assert (there.read_bytes() == b"something of mine") == (answer == "Cancel")
    assert session.project.is_changed == (answer == "Cancel")


def test_saving_a_project_with_a_name_asks_nothing(session, hand, dialogs, tmp_path):
    session.project.save(tmp_path / "a.splathead")
    wait(hand)
    session.latent = LatentSettings(seed=4)
    dialogs.save(session)
    wait(hand)
    assert not session.project.is_changed
    assert dialogs._name.asked == []


def test_a_missing_model_is_asked_for(session, hand, dialogs, head_ply, tmp_path):
    source = Source(tmp_path / "a.splathead")
    missing = MissingModel(source, ModelReference("x.pkl"), "x.pkl is not where it was.")
    session.project.missing = missing
    hand.frames(3)
    assert hand.sees("a.splathead needs x.pkl.")
    dialogs._model.answer = None
    hand.click("Choose…")
    hand.frames(5)
    assert session.project.missing is missing, "nothing was chosen: it is asked again"
    hand.click("Cancel")
    hand.frames(3)
    assert session.project.missing is None


def test_lost_work_is_offered_and_left_or_taken(session, hand, tmp_path, head_ply):
    folder = tmp_path / "autosave"
    victim = new_session(Preferences(backend="torch"))
    victim.project.begin_autosave(Autosave(folder, every=0))
    victim.update(0.0)
    victim.latent = LatentSettings(seed=55)
    victim.update(0.0)
    victim.project.writer.submit(lambda: None).result()
    victim.project.autosave._lock.release()  # as the system does when a program is killed

    session.project.save(tmp_path / "mine.splathead")
    wait(hand)
    session.project.begin_autosave(Autosave(folder))
    hand.frames(3)
    assert hand.sees("Splathead ended before this was saved.")
    assert hand.sees("Untitled")
    hand.click("Recover")
    hand.settle()
    assert session.latent.seed == 55
    assert not hand.sees("Splathead ended before this was saved.")


def test_restoring_takes_pictures_and_heads(session, hand, dialogs, tmp_path):
    dialogs._note.answer = tmp_path / "none.png"
    dialogs.restore(session)
    hand.settle()
    assert "none.png does not exist" in session.banner
    (arguments,) = dialogs._note.asked
    assert arguments[1] == (".png", ".ply")
