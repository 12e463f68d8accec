"""What is not saved survives a program that is killed, and programs side by side do not fight."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.latents import LatentSettings
from renderer.formats.ply import write_ply
from splatviz_app import autosave
from splatviz_app.autosave import Autosave
from splatviz_app.preferences import Preferences
from splatviz_app.projects.files import pixels_of, read_project
from splatviz_app.session import new_session
from tests.conftest import some_splats

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "autosave"


@pytest.fixture
def new(folder, head_ply):
    """Make a session with a head that saves by itself at every frame."""
    sessions = []

    def make():
        session = new_session(Preferences(backend="torch"))
        session.viewport = (40, 24)
        session.project.begin_autosave(Autosave(folder, every=0))
        sessions.append(session)
        session.open(head_ply)
        frames(session)
        return session

    yield make
    for session in sessions:
        session.engine.stop()


def frames(session, count=6):
    """Some frames of the window, with what is written meanwhile."""
    for _ in range(count):
        session.engine.drain()
        session.update(1 / 60)
        session.project.writer.submit(lambda: None).result()
    session.update(1 / 60)


def files(folder):
    return sorted(path.suffix for path in folder.glob("*"))


def test_only_what_is_not_saved_is_written_aside(new, folder, tmp_path):
    session = new()
    assert files(folder) == []

    session.latent = LatentSettings(seed=4)
    frames(session)

    assert files(folder) == [".lock", ".splathead"]
    (path,) = folder.glob("*.splathead")
    assert read_project(path).document.latent.seed == 4
    session.latent = LatentSettings(seed=5)
    frames(session)
    assert read_project(path).document.latent.seed == 5
    session.project.save(tmp_path / "a.splathead")
    frames(session)
    assert files(folder) == [], "it is saved: nothing is left aside"


def test_it_is_not_written_more_often_than_wished(folder, new):
    session = new()
    session.project.autosave = Autosave(folder, every=3600)
    session.latent = LatentSettings(seed=4)
    frames(session)
    assert files(folder) == []


def test_what_takes_long_to_write_is_written_less_often(new, folder, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("splatviz_app.autosave.time.monotonic", lambda: clock[0])
    real = autosave.write_project

    def slow(*args):
        real(*args)
        clock[0] += 10.0

    monkeypatch.setattr("splatviz_app.autosave.write_project", slow)
    session = new()
    session.latent = LatentSettings(seed=4)
    frames(session)
    (path,) = folder.glob("*.splathead")
    session.latent = LatentSettings(seed=5)
    clock[0] += 100.0
    frames(session)
    assert read_project(path).document.latent.seed == 4
    clock[0] += 100.0
    frames(session)
    assert read_project(path).document.latent.seed == 5


def test_an_orderly_end_leaves_nothing(new, folder):
    session = new()
    session.latent = LatentSettings(seed=4)
    frames(session)
    session.project.autosave.close()
    assert files(folder) == []


def test_what_a_running_program_holds_is_not_lost(new, folder):
    first, second = new(), new()
    first.latent, second.latent = LatentSettings(seed=1), LatentSettings(seed=2)
    frames(first)
    frames(second)
    assert files(folder) == [".lock", ".lock", ".splathead", ".splathead"]
    assert Autosave(folder).lost() == []
    second.project.autosave.close()
    assert files(folder) == [".lock", ".splathead"]


_VICTIM = """
import sys
from pathlib import Path
from models.latents import LatentSettings
from splatviz_app import autosave
from splatviz_app.autosave import Autosave
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session

session = new_session(Preferences(backend="torch"))
session.viewport = (40, 24)
session.project.begin_autosave(Autosave(Path(sys.argv[1]), every=0))
session.open(sys.argv[2])
for _ in range(5):
    session.engine.drain()
    session.update(0.1)
session.project.save(Path(sys.argv[3]))
while session.project.is_saving:
    session.update(0.1)
session.latent = LatentSettings(seed=77)
while not list(Path(sys.argv[1]).glob("*.splathead")):
    session.engine.drain()
    session.update(0.1)
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def wreck(tmp_path_factory):
    """A program that was killed over unsaved work, once for all tests: its folder of autosaves."""
    home = tmp_path_factory.mktemp("wreck")
    head, folder, project = home / "seven.ply", home / "autosave", home / "mine.splathead"
    write_ply(head, some_splats())
    program = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(folder), str(head), str(project)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with program:
        assert program.stdout.readline() == b"written\n"
        assert Autosave(folder).lost() == [], "it runs: nothing is lost yet"
        program.kill()
    return folder


@pytest.fixture
def killed(wreck, folder):
    """The same in the folder of this test."""
    shutil.copytree(wreck, folder)
    return wreck.parent / "mine.splathead"


def test_after_a_kill_the_work_is_offered_and_comes_back_unsaved(killed, folder, new, tmp_path):
    session = new()
    (lost,) = session.project.lost
    assert lost.name == "mine"
    assert abs(lost.when - time.time()) < 3600
    assert np.ptp(pixels_of(lost.thumbnail)[..., :3]) > 0
    assert Autosave(folder).lost() == [], "who was offered it first has it"

    session.project.recover(lost)
    frames(session)

    assert session.latent.seed == 77
    assert session.project.lost == []
    assert session.project.title == "mine* - Splathead"
    assert session.project.path == killed
    assert read_project(killed).document.latent.seed == 0
    assert files(folder) == [".lock", ".splathead"], "kept until it is saved"
    session.project.save(tmp_path / "kept.splathead")
    frames(session)
    assert files(folder) == []
    assert read_project(tmp_path / "kept.splathead").document.latent.seed == 77


@pytest.mark.parametrize("choice", ["discard", "leave"])
def test_what_was_lost_may_be_discarded_or_left_for_another_day(choice, killed, folder, new):
    session = new()
    (lost,) = session.project.lost
    if choice == "discard":
        session.project.discard_lost(lost)
    else:
        session.project.leave_lost()
    assert session.project.lost == []
    session.project.autosave.close()
    again = Autosave(folder).lost()
    assert [found.path for found in again] == ([] if choice == "discard" else [lost.path])


def test_a_damaged_file_is_passed_over_and_kept(folder, new):
    folder.mkdir(parents=True)
    (folder / "x.splathead").write_bytes(b"PK")
    session = new()
    assert session.project.lost == []
    assert (folder / "x.splathead").exists()


def test_where_nothing_can_be_written_the_log_says_so_once(folder, new):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    session = new()
    for seed in range(1, 4):
        session.latent = LatentSettings(seed=seed)
        frames(session)
    warned = [entry for entry in session.log.entries if entry.level == "warning"]
    assert len(warned) == 1
    assert "Nothing is saved automatically" in warned[0].message
