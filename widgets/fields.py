"""The rows that panels are made of: label left, control right, a tooltip, and Reset on a right click.

Every function draws one row and returns the value after it. The label is also the control's name in
tests, so it is unique within its panel. Sizes are in em, so that they follow the screen's scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from imgui_bundle import imgui

from renderer.camera import Vector
from splatviz_app.log import Level

T = TypeVar("T")
Color = tuple[float, float, float]

_LABEL_WIDTH = 7.0  # em
_LABEL_SHARE = 0.44  # of a narrow panel
FILL = -1e-6  # as a width: up to the right edge
_FADED = 0.35  # alpha of a picture that counts less than others

_INT_MAX = 2**31 - 1  # ImGui's
_ALWAYS_CLAMP = imgui.SliderFlags_.always_clamp
# The reasons why the controls being drawn cannot be used, innermost last.
_reasons: list[str] = []


@dataclass(frozen=True)
class Number:
    """How a number is shown and how far it goes, in the units a user reads."""

    label: str
    # The tooltip; says the unit.
    help: str
    default: float
    low: float
    high: float
    # printf's, with the unit.
    format: str = "%.2f"
    # Units per px of dragging; 0 for a hundredth of what is useful in the range.
    speed: float = 0.0
    # Equal steps of the slider are equal factors.
    log: bool = False
    # Beyond one end it goes on at the other, as angles do.
    wraps: bool = False

    def limited(self, value: float) -> float:
        """Bring what was typed into the range; what is not a number becomes the default."""
        return min(max(value, self.low), self.high) if math.isfinite(value) else self.default


def em(lines: float) -> float:
    """Width or height of `lines` letters in px."""
    return imgui.get_font_size() * lines


@contextmanager
def unless(reason: str) -> Iterator[None]:
    """Grey out what is drawn inside and give the reason as its tooltip; nothing if it is empty."""
    if not reason:
        yield
        return
    imgui.begin_disabled()
    _reasons.append(reason)
    try:
        yield
    finally:
        _reasons.pop()
        imgui.end_disabled()


def tooltip(text: str) -> None:
    """Explain the last item while the mouse rests on it, or say why it cannot be used."""
    text = _reasons[-1] if _reasons else text
    if imgui.is_item_active():
        return  # who is typing or dragging knows, and wants to see what lies below
    if not text or not imgui.is_item_hovered(imgui.HoveredFlags_.for_tooltip):
        return
    if imgui.begin_tooltip():
        imgui.push_text_wrap_pos(em(24))
        imgui.text_unformatted(text)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()


def muted(text: str) -> None:
    """A quiet line, wrapped."""
    wrapped(text, quiet_color())


def wrapped(text: str, color: imgui.ImVec4) -> None:
    """A text in a colour, wrapped."""
    imgui.push_style_color(imgui.Col_.text, color)
    imgui.push_text_wrap_pos(0.0)
    imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.pop_style_color()


def quiet_color() -> imgui.ImVec4:
    """The colour of labels and remarks: halfway between the theme's text and its disabled text."""
    text = imgui.get_style_color_vec4(imgui.Col_.text)
    faint = imgui.get_style_color_vec4(imgui.Col_.text_disabled)
    return imgui.ImVec4(
        (text.x + faint.x) / 2,
        (text.y + faint.y) / 2,
        (text.z + faint.z) / 2,
        (text.w + faint.w) / 2,
    )


def level_color(level: Level) -> imgui.ImVec4:
    """The colour of a message of that level, readable on a dark theme as on a light one."""
    background = imgui.get_style_color_vec4(imgui.Col_.window_bg)
    dark = background.x + background.y + background.z < 1.5
    if level == "error":
        return imgui.ImVec4(0.96, 0.45, 0.40, 1.0) if dark else imgui.ImVec4(0.72, 0.09, 0.06, 1.0)
    if level == "warning":
        return imgui.ImVec4(0.95, 0.77, 0.36, 1.0) if dark else imgui.ImVec4(0.56, 0.36, 0.0, 1.0)
    return imgui.get_style_color_vec4(imgui.Col_.text)


def section(title: str) -> None:
    """Begin a group of rows."""
    imgui.dummy((0, em(0.25)))
    imgui.separator_text(title)


def gap(lines: float = 0.35) -> None:
    """Leave some air."""
    imgui.dummy((0, em(lines)))


def label(text: str) -> None:
    """The left column of a row; the next item is its control and fills the right one."""
    imgui.align_text_to_frame_padding()
    _left_column(text)
    imgui.set_next_item_width(FILL)


def fact(name: str, value: str, help: str = "") -> None:
    """A row that is only read; a right click copies its value."""
    _left_column(name)
    imgui.push_text_wrap_pos(0.0)
    imgui.text_unformatted(value)
    imgui.pop_text_wrap_pos()
    tooltip(help)
    if imgui.begin_popup_context_item(f"copy {name}"):
        if imgui.menu_item(f"Copy##{name}", "", False)[0]:
            imgui.set_clipboard_text(value)
        imgui.end_popup()


def drag(number: Number, value: float) -> float:
    """A number to drag sideways; a double-click types it. Unchanged, it is the very same float."""
    label(number.label)
    speed = number.speed or (number.high - number.low) / 500
    flags = _ALWAYS_CLAMP | (imgui.SliderFlags_.wrap_around if number.wraps else 0)
    changed, new = imgui.drag_float(
        f"##{number.label}", value, speed, number.low, number.high, number.format, flags
    )
    tooltip(f"{number.help}\nDrag, or double-click to type.")
    value = number.limited(new) if changed else value
    return resettable(number.label, value, number.default, number.format)


def slider(number: Number, value: float) -> float:
    """A number on a bar from its lowest to its highest; Ctrl+click types it."""
    label(number.label)
    flags = _ALWAYS_CLAMP | (imgui.SliderFlags_.logarithmic if number.log else 0)
    changed, new = imgui.slider_float(
        f"##{number.label}", value, number.low, number.high, number.format, flags
    )
    tooltip(f"{number.help}\nCtrl+click to type.")
    value = number.limited(new) if changed else value
    return resettable(number.label, value, number.default, number.format)


def vector(number: Number, value: Vector) -> Vector:
    """Three numbers of one kind: x, y, z."""
    x, y, z = _several(number, value)
    return (x, y, z)


def pair(number: Number, value: tuple[float, float]) -> tuple[float, float]:
    """Two numbers of one kind: x, y."""
    x, y = _several(number, value)
    return (x, y)


def whole(number: Number, value: int, step: int = 1) -> int:
    """A whole number with - and + beside it; takes effect when typing ends."""
    label(number.label)
    changed, new = imgui.input_int(f"##{number.label}", min(value, _INT_MAX), step, 10 * step)
    tooltip(number.help)
    value = int(min(max(new, number.low), number.high)) if changed else value
    return resettable(number.label, value, int(number.default))


def typed(number: Number, value: float) -> float:
    """A number that is typed, in double precision; takes effect when typing ends."""
    label(number.label)
    changed, new = imgui.input_double(f"##{number.label}", value, 0.0, 0.0, number.format)
    tooltip(number.help)
    value = number.limited(new) if changed else value
    return resettable(number.label, value, number.default, number.format)


def check(name: str, help: str, value: bool, default: bool = False) -> bool:
    """A choice between yes and no."""
    label(name)
    _, value = imgui.checkbox(f"##{name}", value)
    tooltip(help)
    return resettable(name, value, default)


def text(name: str, help: str, value: str, hint: str = "") -> str:
    """A line of text."""
    label(name)
    _, value = imgui.input_text_with_hint(f"##{name}", hint, value)
    tooltip(help)
    return value


def color(name: str, help: str, value: Color, default: Color) -> Color:
    """A colour, RGB in [0, 1]."""
    label(name)
    changed, new = imgui.color_edit3(f"##{name}", list(value))
    tooltip(help)
    return resettable(name, (new[0], new[1], new[2]) if changed else value, default)


def combo(
    name: str,
    help: str,
    value: T,
    options: Mapping[T, str],
    whys: Mapping[T, str] | None = None,
    default: T | None = None,
) -> T:
    """One of several, in a list that drops down.

    Args:
        name: The label.
        help: The tooltip.
        value: What is chosen now.
        options: What can be chosen, with the names to show.
        whys: A tooltip for some; those whose sentence starts with "-" cannot be chosen.
        default: What a right click offers to go back to; the first option if None.
    """
    label(name)
    opened = imgui.begin_combo(f"##{name}", options.get(value, str(value)))
    tooltip(help)
    if not opened:
        return resettable(name, value, next(iter(options)) if default is None else default)
    for option, shown in options.items():
        why = (whys or {}).get(option, "")
        with unless(why[1:].strip() if why.startswith("-") else ""):
            if imgui.selectable(shown, option == value)[0]:
                value = option
            tooltip(why)
        if option == value:
            imgui.set_item_default_focus()
    imgui.end_combo()
    return value


def segmented(
    name: str, help: str, value: T, options: Mapping[T, str], default: T | None = None
) -> T:
    """One of a few, side by side; a right click goes back to the default, else the first option."""
    label(name)
    space = imgui.get_content_region_avail().x
    between = em(0.12)
    width = (space - between * (len(options) - 1)) / len(options)
    chosen = value
    imgui.begin_group()
    for i, (option, shown) in enumerate(options.items()):
        if i:
            imgui.same_line(0, between)
        active = imgui.Col_.tab_selected if option == value else imgui.Col_.frame_bg
        imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(active))
        if imgui.button(shown, (width, 0)):
            chosen = option
        imgui.pop_style_color()
        tooltip(help)
    imgui.end_group()
    return resettable(name, chosen, next(iter(options)) if default is None else default)


def button(name: str, help: str = "", width: float = FILL, height: float = 0.0) -> bool:
    """A button; sizes in px, the full row if none is given."""
    pressed = imgui.button(name, (width, height))
    tooltip(help)
    return pressed


def buttons(
    names: Sequence[str],
    help: Mapping[str, str] | None = None,
    whys: Mapping[str, str] | None = None,
) -> str | None:
    """Draw buttons in one row over the full width.

    Args:
        names: From left to right.
        help: A tooltip for each.
        whys: The reasons why some cannot be pressed.

    Returns:
        The name of the one pressed.
    """
    between = imgui.get_style().item_inner_spacing.x
    space = imgui.get_content_region_avail().x - between * (len(names) - 1)
    needed = [imgui.calc_text_size(name, True).x + em(0.4) for name in names]
    if max(needed) * len(names) <= space:
        needed = [1.0] * len(names)
    # Equal if all fit so; else the longer word gets the wider button.
    widths = [space * part / sum(needed) for part in needed]
    pressed = None
    for i, (name, width) in enumerate(zip(names, widths, strict=True)):
        if i:
            imgui.same_line(0, between)
        with unless((whys or {}).get(name, "")):
            if button(name, (help or {}).get(name, ""), width):
                pressed = name
    return pressed


def picture(texture: int, width: float, height: float) -> None:
    """A small picture (`session.textures.of`), an empty frame while it is on its way; sizes in px."""
    corner = imgui.get_cursor_screen_pos()
    imgui.dummy((width, height))
    far = (corner.x + width, corner.y + height)
    paint = imgui.get_window_draw_list()
    if texture:
        paint.add_image(imgui.ImTextureRef(texture), corner, far)
    else:
        paint.add_rect_filled(corner, far, imgui.get_color_u32(imgui.Col_.frame_bg))


def tile(texture: int, corner: imgui.ImVec2, side: float, is_faded: bool, is_chosen: bool) -> None:
    """Paint a small picture of a gallery, framed if it is chosen or the item just drawn is pointed at.

    Args:
        texture: OpenGL's name; 0 while there is none.
        corner: The upper left one, of the screen, px.
        side: px.
        is_faded: Whether it counts less than others.
        is_chosen: Whether it is the one that is worked on.
    """
    paint, far = imgui.get_window_draw_list(), (corner.x + side, corner.y + side)
    if texture:
        tint = imgui.get_color_u32((1.0, 1.0, 1.0, _FADED if is_faded else 1.0))
        paint.add_image(imgui.ImTextureRef(texture), corner, far, (0, 0), (1, 1), tint)
    else:
        paint.add_rect_filled(corner, far, imgui.get_color_u32(imgui.Col_.frame_bg))
    if is_chosen or imgui.is_item_hovered():
        kind = imgui.Col_.tab_selected if is_chosen else imgui.Col_.border
        paint.add_rect(corner, far, imgui.get_color_u32(kind), 0.0, 3.0 if is_chosen else 2.0)


def empty(headline: str, advice: str) -> None:
    """What a panel shows while there is nothing to show: what it is for and what to do."""
    gap(0.5)
    imgui.push_text_wrap_pos(0.0)
    imgui.text_unformatted(headline)
    imgui.pop_text_wrap_pos()
    gap(0.1)
    muted(advice)


def resettable(name: str, value: T, default: T, format: str = "") -> T:
    """Offer the default on a right click on the last item."""
    if not imgui.begin_popup_context_item(f"reset {name}"):
        return value
    shown = f" to {format % default}" if format else ""
    if imgui.menu_item(f"Reset{shown}##{name}", "", False, value != default)[0]:
        value = default
    imgui.end_popup()
    return value


def _left_column(text: str) -> None:
    """Write a label, cut off where the right column begins, and go there."""
    left, corner = imgui.get_cursor_pos_x(), imgui.get_cursor_screen_pos()
    width = min(em(_LABEL_WIDTH), _LABEL_SHARE * imgui.get_content_region_avail().x)
    imgui.push_clip_rect(corner, (corner.x + width - em(0.3), corner.y + em(3)), True)
    imgui.text_colored(quiet_color(), text)
    imgui.pop_clip_rect()
    imgui.same_line(left + width)


def _several(number: Number, value: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers of one kind in one row, each to drag or to type."""
    label(number.label)
    draw = {2: imgui.drag_float2, 3: imgui.drag_float3}[len(value)]
    name, speed, limits = f"##{number.label}", number.speed, (number.low, number.high)
    changed, new = draw(name, list(value), speed, *limits, number.format, _ALWAYS_CLAMP)
    tooltip(f"{number.help}\nDrag, or double-click to type.")
    if changed:  # those that were not touched keep their bits: ImGui has only half of them
        value = tuple(
            old if abs(old - now) <= 1e-6 * abs(old) else number.limited(now)
            for old, now in zip(value, new, strict=True)
        )
    return resettable(number.label, value, (number.default,) * len(value))
