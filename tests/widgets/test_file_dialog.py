"""Choosing a file: the system's dialog where there is one, else one of the window; neither blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from imgui_bundle import imgui, portable_file_dialogs

from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from widgets import file_dialog
from widgets.file_dialog import FileDialog


@pytest.fixture
def frames():
    """Let a frame of ImGui go by at each call: a dialog answers once per frame."""
    context = imgui.create_context()
    io = imgui.get_io()
    io.set_ini_filename("")
    io.display_size = (300, 200)
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures

    def frame():
        imgui.new_frame()
        imgui.render()

    yield frame
    imgui.destroy_context(context)


class SlowChoice:
    """A dialog of the system whose user needs three looks to decide."""

    def __init__(self, chosen):
        self.chosen, self.looks = chosen, 0

    def __call__(self, *arguments):
        self.arguments = arguments
        return self

    def ready(self, timeout):
        assert timeout == 0, "the window must not wait"
        self.looks += 1
        return self.looks == 3

    def result(self):
        return self.chosen


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [(["/heads/a b.ply"], Path("/heads/a b.ply")), ([], None), ([""], None)],
)
def test_the_system_s_dialog_is_asked_without_waiting(chosen, expected, frames, monkeypatch):
    native = SlowChoice(chosen)
    monkeypatch.setattr(file_dialog, "has_native_dialog", lambda: True)
    monkeypatch.setattr(portable_file_dialogs, "open_file", native)
    dialog = FileDialog("test")
    dialog.open_file("Open", (".ply", ".pkl"), Path("/heads"))
    answers = []
    while dialog.is_open:
        frames()
        answers.append(dialog.poll())
    assert answers == [None, None, expected]
    title, folder, filters, options = native.arguments
    assert (title, folder, filters[1]) == ("Open", "/heads", "*.ply *.pkl")
    assert options == portable_file_dialogs.opt.none


def test_several_files_are_chosen_at_once(frames, monkeypatch):
    native = SlowChoice(["/photos/a.jpg", "/photos/b.png"])
    monkeypatch.setattr(file_dialog, "has_native_dialog", lambda: True)
    monkeypatch.setattr(portable_file_dialogs, "open_file", native)
    dialog = FileDialog("test")
    dialog.open_file("Open", (".jpg", ".png"), several=True)
    answers = []
    while dialog.is_open:
        frames()
        answers.append(dialog.poll_several())
    assert answers == [(), (), (Path("/photos/a.jpg"), Path("/photos/b.png"))]
    assert native.arguments[-1] == portable_file_dialogs.opt.multiselect


def test_a_folder_is_chosen(frames, monkeypatch):
    monkeypatch.setattr(file_dialog, "has_native_dialog", lambda: True)
    monkeypatch.setattr(portable_file_dialogs, "select_folder", SlowChoice("/pictures"))
    dialog = FileDialog("test")
    dialog.choose_folder()
    chosen = None
    for _ in range(3):
        frames()
        chosen = dialog.poll()
    assert chosen == Path("/pictures")


@pytest.mark.parametrize("chosen", ["/projects/ada.splathead", ""])
def test_a_file_to_write_is_asked_for_with_a_name_proposed(chosen, frames, monkeypatch):
    native = SlowChoice(chosen)
    monkeypatch.setattr(file_dialog, "has_native_dialog", lambda: True)
    monkeypatch.setattr(portable_file_dialogs, "save_file", native)
    dialog = FileDialog("test")
    dialog.save_file("Save", "Projects", Path("/projects/day.splathead"))
    answers = []
    while dialog.is_open:
        frames()
        answers.append(dialog.poll())
    assert answers == [None, None, Path(chosen) if chosen else None]
    assert native.arguments == (
        "Save", "/projects/day.splathead", ["Projects (*.splathead)", "*.splathead"],
    )  # fmt: skip


def test_of_several_polls_in_a_frame_one_counts(frames, monkeypatch):
    native = SlowChoice(["/heads/a.ply"])
    monkeypatch.setattr(file_dialog, "has_native_dialog", lambda: True)
    monkeypatch.setattr(portable_file_dialogs, "open_file", native)
    dialog = FileDialog("test")
    dialog.open_file("Open", (".ply",))
    frames()
    dialog.poll()
    dialog.poll()
    assert native.looks == 1


def test_without_a_display_or_its_programs_there_is_no_native_dialog(monkeypatch):
    monkeypatch.setattr(file_dialog.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert not file_dialog.has_native_dialog()
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    assert file_dialog.has_native_dialog()
    monkeypatch.delenv("DISPLAY")
    assert not file_dialog.has_native_dialog()


@pytest.mark.window
def test_the_window_s_own_dialogs_open_and_save_a_file(tmp_path, head_ply, monkeypatch):
    from imgui_bundle import immapp
    from imgui_bundle.immapp import testing

    from splatviz_app.window import WindowOptions, run_window
    from widgets import window_parts

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    session = new_session(Preferences(recent=(str(tmp_path / "x.ply"),), save_folder=str(tmp_path)))

    def act(ctx):
        ctx.yield_(4)
        ctx.item_click("//Head/Open…")
        ctx.yield_(4)
        dialog = "//Open a head, a generator or a project###open head"
        ctx.set_ref(dialog)
        ctx.item_double_click(f"**/{head_ply.name}")
        wait(ctx, lambda: session.picture is not None)
        ctx.set_ref("")
        session.project.save()
        ctx.yield_(4)
        ctx.set_ref("//Save the project###save project")
        ctx.item_click("**/##file_input")
        ctx.key_chars_replace("mine")
        ctx.item_click("**/Save")
        wait(ctx, lambda: session.project.path is not None)

    def wait(ctx, done):
        for _ in range(400):
            ctx.yield_()
            if done():
                return
        raise AssertionError("it does not happen")

    def loop(parameters):
        add_ons = immapp.AddOnsParams(with_implot=True)
        testing.run(test_function=act, runner_params=parameters, add_ons_params=add_ons)

    options = WindowOptions(remember=False, raise_crashes=True, fps_limit=0)
    run_window(session, window_parts(), options, loop)
    assert session.scene is not None
    assert Path(session.scene.path) == head_ply
    assert session.project.path == tmp_path / "mine.splathead"
    assert session.project.path.exists()
    assert session.preferences.recent[:2] == (str(session.project.path), str(head_ply))
