"""Buttons over the full width, of which one is chosen; longer words get wider ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imgui_bundle import imgui

from widgets import fields


def draw_strip(
    key: str, names: Sequence[str], chosen: str | None, help: Mapping[str, str] | None = None
) -> str | None:
    """Draw the buttons; return the name of the one that was pressed.

    Args:
        key: Tells rows of the same names apart.
        names: From left to right.
        chosen: The one that stands out; None for none of them.
        help: A tooltip for each.
    """
    between, pressed = fields.em(0.12), None
    for row in _rows(names, between):
        needed = [_width(name) for name in row]
        space = imgui.get_content_region_avail().x - between * (len(row) - 1)
        for i, name in enumerate(row):
            if i:
                imgui.same_line(0, between)
            color = imgui.Col_.tab_selected if name == chosen else imgui.Col_.frame_bg
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(color))
            width = space * needed[i] / sum(needed)
            if fields.button(f"{name}##{key}", (help or {}).get(name, ""), width):
                pressed = name
            imgui.pop_style_color()
    return pressed


def _width(name: str) -> float:
    """What a word needs at least, px."""
    return imgui.calc_text_size(name).x + fields.em(0.4)


def _rows(names: Sequence[str], between: float) -> list[list[str]]:
    """Break the names into as many rows as they need."""
    rows: list[list[str]] = [[]]
    left = space = imgui.get_content_region_avail().x
    for name in names:
        if rows[-1] and _width(name) > left:
            rows.append([])
            left = space
        rows[-1].append(name)
        left -= _width(name) + between
    return rows
