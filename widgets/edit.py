"""The Edit panel: what is done to the head before it is drawn. The stack, presets, and past code."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from imgui_bundle import imgui

from splatviz_app.edits.errors import EditError
from splatviz_app.edits.presets import preset_of
from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.edits.stack import KINDS, AnyEdit
from splatviz_app.edits.values import CodeEdit
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.edit_history import HistoryPage
from widgets.edit_presets import PresetPage
from widgets.edit_script import ScriptView, draw_limit
from widgets.edit_sliders import SliderRows
from widgets.edit_tools import draw_tool

Page = Literal["Stack", "Presets", "History"]
_PAGES: dict[Page, str] = {
    "Stack": "The edits of this head, from the first applied to the last.",
    "Presets": "Edits to begin with, and your own.",
    "History": "Every version of the code that ran.",
}
_LONGEST_NAME = 80  # letters


class EditPanel:
    """The stack of edits, and the selected one's controls."""

    title = "Edit"
    dock: Dock = "right"

    def __init__(self) -> None:
        """Begin with the stack."""
        self._page: Page = "Stack"
        self._selected = 0  # key of an edit
        self._renamed = 0  # key of the edit whose name is being typed
        self._name = ""  # as it is typed
        self._presets = PresetPage()
        self._history = HistoryPage()
        self._scripts = ScriptView()
        self._sliders = SliderRows()

    def visible(self, session: Session) -> bool:
        """Always: without a head it says how to get one."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the page that is chosen."""
        if session.scene is None:
            fields.empty("No head is open.", "Open one in the Head panel to edit it.")
            return
        self._draw_pages()
        key = None
        if self._page == "Presets":
            key = self._presets.draw(session)
        elif self._page == "History":
            key = self._history.draw(session, self._selected)
        else:
            self._draw_stack(session)
        if key is not None:
            self._selected, self._page = key, "Stack"

    def poll_dialogs(self, session: Session) -> None:
        """Follow up on an opened dialog, also while the panel is hidden."""
        self._presets.poll_dialogs(session)

    def _draw_pages(self) -> None:
        between = fields.em(0.12)
        width = (imgui.get_content_region_avail().x - between * (len(_PAGES) - 1)) / len(_PAGES)
        for place, (page, help) in enumerate(_PAGES.items()):
            if place:
                imgui.same_line(0, between)
            chosen = imgui.Col_.tab_selected if page == self._page else imgui.Col_.frame_bg
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(chosen))
            if fields.button(page, help, width):
                self._page = page
            imgui.pop_style_color()
        fields.gap(0.2)

    # ---- the stack

    def _draw_stack(self, session: Session) -> None:
        stack = session.edits
        self._scripts.forget({edit.key for edit in stack.edits})
        self._draw_bar(session)
        if not stack.edits:
            fields.empty(
                "This head is as it was made.",
                "Add an edit, or begin with a preset. Edits never change the head itself: each can be "
                "switched off, moved and removed.",
            )
        for place, edit in enumerate(stack.edits):
            imgui.push_id(edit.key)
            self._draw_row(session, place, edit)
            imgui.pop_id()
        selected = self._selected_edit(session)
        if selected is not None:
            session.editing.pointed = selected.key
            self._draw_selected(session, selected)
        if stack.sliders or any(isinstance(edit, CodeEdit) for edit in stack.edits):
            self._sliders.draw(session)
        if any(isinstance(edit, CodeEdit) for edit in stack.edits):
            fields.section("Scripts")
            draw_limit(session)

    def _draw_bar(self, session: Session) -> None:
        names = ["Add edit"]
        if session.edits.uses_time:
            names.append("Pause" if session.editing.playing else "Play")
        help = {
            "Add edit": "A script, or an edit without code.",
            "Pause": "Stop the clock of scripts and sliders that move.",
            "Play": "Let the clock of scripts and sliders go on.",
        }
        pressed = fields.buttons(names, help)
        if pressed == "Add edit":
            imgui.open_popup("add edit")
        elif pressed is not None:
            session.editing.playing = not session.editing.playing
        if imgui.begin_popup("add edit"):
            for kind in KINDS:
                if kind is DeleteSelected:
                    continue  # made of a selection, where that is made
                if imgui.menu_item(f"{kind.title}##add", "", False)[0]:
                    self._add(session, kind())
                fields.tooltip(kind.help)
                if kind is CodeEdit:
                    imgui.separator()
            imgui.end_popup()

    def _add(self, session: Session, edit: AnyEdit) -> None:
        session.edits = session.edits.added(edit)
        self._selected = session.edits.edits[-1].key

    def _selected_edit(self, session: Session) -> AnyEdit | None:
        """The selected edit; the last one if that is gone."""
        edits = session.edits.edits
        return session.edits.find(self._selected) or (edits[-1] if edits else None)

    # ---- a row

    def _draw_row(self, session: Session, place: int, edit: AnyEdit) -> None:
        selected = edit == self._selected_edit(session)
        imgui.push_style_var(imgui.StyleVar_.item_spacing, (0.0, fields.em(0.12)))
        self._draw_cells(session, place, edit, selected)
        imgui.pop_style_var()

    def _draw_cells(self, session: Session, place: int, edit: AnyEdit, selected: bool) -> None:
        _, enabled = imgui.checkbox(f"##Use {edit.shown_name}", edit.enabled)
        fields.tooltip("Whether it is applied.")
        if enabled != edit.enabled:
            session.edits = session.edits.changed(replace(edit, enabled=enabled))
        imgui.same_line(0, imgui.get_style().item_inner_spacing.x)
        if self._renamed == edit.key:
            self._draw_name_field(session, edit)
            return
        side, between = imgui.get_frame_height(), imgui.get_style().item_inner_spacing.x
        width = imgui.get_content_region_avail().x - side - 2 * between
        color, note = _state_of(session, edit)
        imgui.push_style_color(imgui.Col_.text, color)
        flags = imgui.SelectableFlags_.allow_double_click | imgui.SelectableFlags_.allow_overlap
        label = f"{edit.shown_name}##edit"
        clicked, _ = imgui.selectable(label, selected, flags, (width, 0))
        imgui.pop_style_color()
        if clicked:
            self._selected = edit.key
            if imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
                self._begin_rename(edit)
        self._drag_row(session, place, edit)
        fields.tooltip(note or f"{edit.help}\nDrag to move it, double-click to rename it.")
        self._draw_menu(session, place, edit)
        imgui.same_line(0, between)
        if imgui.button(f"×##Remove {edit.shown_name}", (side, side)):
            session.edits = session.edits.removed(edit.key)
        fields.tooltip("Remove it; undo brings it back.")

    def _drag_row(self, session: Session, place: int, edit: AnyEdit) -> None:
        """Follow a hand that holds the row over another one."""
        if not imgui.is_item_active() or imgui.is_item_hovered():
            return
        low, high = imgui.get_item_rect_min().y, imgui.get_item_rect_max().y
        y = imgui.get_io().mouse_pos.y
        if y < low and place > 0:
            session.edits = session.edits.moved(edit.key, place - 1)
        elif y > high and place + 1 < len(session.edits.edits):
            session.edits = session.edits.moved(edit.key, place + 1)

    def _draw_menu(self, session: Session, place: int, edit: AnyEdit) -> None:
        if not imgui.begin_popup_context_item("edit menu"):
            return
        last = len(session.edits.edits) - 1
        if imgui.menu_item("Rename", "", False)[0]:
            self._begin_rename(edit)
        if imgui.menu_item("Duplicate", "", False)[0]:
            session.edits = session.edits.added(edit, place + 1)
            self._selected = session.edits.edits[place + 1].key
        if imgui.menu_item("Move up", "", False, place > 0)[0]:
            session.edits = session.edits.moved(edit.key, place - 1)
        if imgui.menu_item("Move down", "", False, place < last)[0]:
            session.edits = session.edits.moved(edit.key, place + 1)
        imgui.separator()
        if imgui.menu_item("Save as preset", "", False)[0]:
            self._presets.keep(session, preset_of(session.edits, edit.key, edit.shown_name))
            self._page = "Presets"
        if imgui.menu_item("Remove", "", False)[0]:
            session.edits = session.edits.removed(edit.key)
        imgui.end_popup()

    # ---- its name

    def _begin_rename(self, edit: AnyEdit) -> None:
        self._renamed, self._name = edit.key, edit.shown_name
        self._selected = edit.key

    def _draw_name_field(self, session: Session, edit: AnyEdit) -> None:
        imgui.set_next_item_width(fields.FILL)
        if not imgui.is_any_item_active():
            imgui.set_keyboard_focus_here()
        flags = imgui.InputTextFlags_.auto_select_all | imgui.InputTextFlags_.enter_returns_true
        done, self._name = imgui.input_text("##Edit name", self._name, flags)
        if imgui.is_key_pressed(imgui.Key.escape):
            self._renamed = 0
        elif done or imgui.is_item_deactivated():
            self._renamed = 0
            name = " ".join(self._name.split())[:_LONGEST_NAME]
            session.edits = session.edits.changed(
                replace(edit, name="" if name == edit.title else name)
            )

    # ---- the selected edit

    def _draw_selected(self, session: Session, edit: AnyEdit) -> None:
        fields.section(edit.shown_name)
        if isinstance(edit, CodeEdit):
            self._scripts.draw(session, edit)
            return
        changed = draw_tool(session, edit)
        if changed != edit:
            session.edits = session.edits.changed(changed)
        error = _error_of(session, edit)
        if error is not None:
            fields.wrapped(error.message, fields.level_color("error"))


def _error_of(session: Session, edit: AnyEdit) -> EditError | None:
    failure = session.engine.failure
    error = failure.error if failure is not None else None
    return error if isinstance(error, EditError) and error.key == edit.key else None


def _state_of(session: Session, edit: AnyEdit) -> tuple[imgui.ImVec4, str]:
    """The colour of an edit's name, and what the matter is with it."""
    if not edit.enabled:
        return imgui.get_style_color_vec4(imgui.Col_.text_disabled), "It is off."
    error = _error_of(session, edit)
    if error is not None:
        return fields.level_color("error"), str(error)
    if any(waiting.key == edit.key for waiting in session.editing.waiting(session.edits)):
        return fields.level_color("warning"), "It waits for you to agree to its code."
    return imgui.get_style_color_vec4(imgui.Col_.text), ""
