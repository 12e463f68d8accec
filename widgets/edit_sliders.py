"""The sliders of scripts: a row each, and a menu for name, range, kind and animation."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from imgui_bundle import imgui

from splatviz_app.edits.namespace import Value
from splatviz_app.edits.stack import EditStack
from splatviz_app.edits.values import (
    Animation,
    CodeEdit,
    Repeat,
    Slider,
    SliderKind,
    why_not_a_name,
)
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number

_KINDS: dict[SliderKind, str] = {
    "float": "Number",
    "int": "Whole number",
    "bool": "Yes or no",
    "color": "Colour",
}
_REPEATS: dict[Repeat | Literal[""], str] = {"": "Off", "loop": "Loop", "ping-pong": "Ping-pong"}
_SECONDS = Number("Round", "Seconds from start to start.", 4.0, 0.1, 600.0, "%.1f s", 0.05)
_FAR = 1e6
_LOW = Number("From", "Its lowest value.", 0.0, -_FAR, _FAR, "%.3f", 0.01)
_HIGH = Number("To", "Its highest value.", 1.0, -_FAR, _FAR, "%.3f", 0.01)
_NAMES = ("x", "y", "z", "a", "b", "c", "u", "v", "w")


class SliderRows:
    """Draws the sliders of a stack and replaces them."""

    def __init__(self) -> None:
        """Begin with no menu open."""
        self._name = ""  # as it is typed in the open menu

    def draw(self, session: Session) -> None:
        """Draw all rows, and what adds one."""
        stack = session.edits
        fields.section("Sliders")
        for slider in stack.sliders:
            imgui.push_id(slider.name)
            changed = self._draw_row(session, slider)
            if changed != slider:
                session.edits = session.edits.with_slider(changed, slider.name)
            imgui.pop_id()
        missing = stack.missing_sliders
        for name in missing:
            if fields.button(f"Add slider.{name}", "A script reads it, and it does not exist."):
                session.edits = session.edits.with_slider(Slider(name, 0.5))
        if not stack.sliders and not missing:
            fields.muted("A script reads a slider as slider.x")
        if fields.button("Add slider", "A value that scripts read by its name."):
            session.edits = session.edits.with_slider(Slider(_free_name(stack), 0.5))

    def _draw_row(self, session: Session, slider: Slider) -> Slider:
        fields.label(slider.name)
        side, between = imgui.get_frame_height(), imgui.get_style().item_inner_spacing.x
        imgui.set_next_item_width(imgui.get_content_region_avail().x - side - between)
        if slider.animation is not None:
            # It shows where it is; a hand that takes it would fight with the clock.
            moving = replace(slider, value=slider.at(session.editing.time), animation=None)
            with fields.unless("It moves by itself: switch the animation off in its menu."):
                _draw_value(moving)
        else:
            slider = replace(slider, value=_draw_value(slider))
        imgui.open_popup_on_item_click("slider menu")
        imgui.same_line(0, between)
        if imgui.button(f"…##menu of {slider.name}", (side, side)):
            imgui.open_popup("slider menu")
        fields.tooltip("Name, range, kind, animation.")
        if imgui.begin_popup("slider menu"):
            if imgui.is_window_appearing():
                self._name = slider.name
            slider = self._draw_menu(session, slider)
            imgui.end_popup()
        return slider

    def _draw_menu(self, session: Session, slider: Slider) -> Slider:
        imgui.dummy((fields.em(19), 0))
        self._draw_name(session, slider)
        kind = fields.combo("Kind", "What it is to scripts.", slider.kind, _KINDS)
        if kind != slider.kind:
            slider = _of_kind(slider, kind)
        if kind in ("float", "int"):
            low, high = fields.drag(_LOW, slider.low), fields.drag(_HIGH, slider.high)
            if (low, high) != (slider.low, slider.high):
                slider = replace(slider, low=min(low, high), high=max(low, high))
                slider = replace(slider, value=slider.limited(slider.value))
        slider = replace(slider, animation=_draw_animation(slider.animation))
        fields.gap()
        if fields.button(f"Remove slider.{slider.name}", "Scripts that read it will say so."):
            session.edits = session.edits.without_slider(slider.name)
            imgui.close_current_popup()
        return slider

    def _draw_name(self, session: Session, slider: Slider) -> None:
        self._name = fields.text("Slider name", "What scripts call it; they follow.", self._name)
        left = imgui.is_item_deactivated_after_edit()
        taken = tuple(known.name for known in session.edits.sliders if known.name != slider.name)
        why = why_not_a_name(self._name, taken)
        if why:
            fields.muted(why)
        elif left and self._name != slider.name:
            _rename(session, slider.name, self._name)
            imgui.close_current_popup()


def _draw_value(slider: Slider) -> Value:
    """The control of a slider's kind, over the width that was set."""
    name, value = f"##{slider.name}", slider.limited(slider.value)
    clamp = imgui.SliderFlags_.always_clamp
    new: Value
    if slider.kind == "color":
        assert isinstance(value, tuple), value
        changed, color = imgui.color_edit3(name, list(value))
        new = (color[0], color[1], color[2])
    elif slider.kind == "bool":
        changed, new = imgui.checkbox(name, bool(value))
    elif slider.kind == "int":
        assert isinstance(value, int), value
        low, high = round(slider.low), round(slider.high)
        changed, new = imgui.slider_int(name, value, low, high, "%d", clamp)
    else:
        assert isinstance(value, float), value
        decimals = 3 if slider.high - slider.low < 5 else 2
        changed, new = imgui.slider_float(
            name, value, slider.low, slider.high, f"%.{decimals}f", clamp
        )
    fields.tooltip(f"slider.{slider.name} in scripts. Ctrl+click to type.")
    return slider.limited(new) if changed else slider.value


def _draw_animation(animation: Animation | None) -> Animation | None:
    now: Repeat | Literal[""] = animation.repeat if animation is not None else ""
    repeat = fields.segmented(
        "Animate", "Moves it by itself: Loop begins anew, Ping-pong goes back.", now, _REPEATS
    )
    if not repeat:
        return None
    animation = replace(animation or Animation(), repeat=repeat)
    seconds = fields.drag(_SECONDS, animation.seconds)
    ease = fields.check("Ease", "Start and end gently.", animation.ease, default=True)
    return replace(animation, seconds=seconds, ease=ease)


def _of_kind(slider: Slider, kind: SliderKind) -> Slider:
    """The same slider as another kind; its range stays useful."""
    changed = replace(slider, kind=kind)
    if kind == "int" and slider.high - slider.low < 2:
        changed = replace(changed, high=slider.low + 10)
    if kind == "bool":
        changed = replace(changed, low=0.0, high=1.0)
    return replace(changed, value=changed.limited(slider.value))


def _rename(session: Session, old: str, new: str) -> None:
    """Rename a slider in the scripts as well; code that was known stays known."""
    history = session.editing.history
    before = {edit.key: edit for edit in session.edits.edits}
    session.edits = session.edits.with_slider_renamed(old, new)
    for edit in session.edits.edits:
        was = before[edit.key]
        if isinstance(edit, CodeEdit) and isinstance(was, CodeEdit) and history.knows(was.code):
            history.agree(edit.code)


def _free_name(stack: EditStack) -> str:
    taken = {slider.name for slider in stack.sliders}
    numbered = (f"x{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (*_NAMES, *numbered) if name not in taken)
