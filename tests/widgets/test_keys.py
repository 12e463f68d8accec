"""Shortcuts, as ImGui reports keys frame by frame."""

from __future__ import annotations

import pytest

imgui = pytest.importorskip("imgui_bundle").imgui

from widgets.keys import Shortcut, press_keys  # noqa: E402 - needs the library that may be missing

K = imgui.Key
CTRL, SHIFT = int(K.mod_ctrl), int(K.mod_shift)


@pytest.fixture
def type_keys():
    """Hand over key events, [(key, is down)] frame by frame; the names of what they did."""
    done: list[str] = []
    shortcuts = tuple(
        Shortcut(name, name, (chord,), lambda _, name=name: done.append(name), "Test")
        for name, chord in (
            ("undo", int(K.z) | CTRL), ("redo", int(K.z) | CTRL | SHIFT), ("front", int(K._1)),
        )
    )  # fmt: skip
    context = imgui.create_context()
    io = imgui.get_io()
    io.set_ini_filename("")
    io.display_size = (300, 200)
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures

    def play(*frames: list[tuple[imgui.Key, bool]]) -> list[str]:
        for events in frames:
            for key, down in events:
                for mod, side in ((K.mod_ctrl, K.left_ctrl), (K.mod_shift, K.left_shift)):
                    if key == side:
                        io.add_key_event(mod, down)
                io.add_key_event(key, down)
            imgui.new_frame()
            press_keys(None, shortcuts)
            imgui.render()
        return done

    yield play
    imgui.destroy_context(context)


def test_a_chord_counts_while_its_modifier_is_held(type_keys) -> None:
    ctrl, z = K.left_ctrl, K.z
    assert type_keys([(ctrl, True)], [(z, True)], [(z, False)], [(ctrl, False)]) == ["undo"]


def test_ctrl_released_in_the_frame_of_the_letter_still_counts(type_keys) -> None:
    ctrl, z = K.left_ctrl, K.z
    assert type_keys([(ctrl, True)], [(z, True), (ctrl, False)], [(z, False)]) == ["undo"]


def test_both_modifiers_released_with_the_letter_are_redo_and_not_undo(type_keys) -> None:
    ctrl, shift, z = K.left_ctrl, K.left_shift, K.z
    frames = [[(ctrl, True), (shift, True)], [(z, True), (shift, False), (ctrl, False)], []]
    assert type_keys(*frames) == ["redo"]


def test_a_plain_key_just_after_ctrl_is_a_plain_key(type_keys) -> None:
    ctrl, one = K.left_ctrl, K._1
    assert type_keys([(ctrl, True)], [(ctrl, False), (one, True)], []) == ["front"]
