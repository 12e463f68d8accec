"""An editor for Python: colours, marked errors, and a list of the words that may come next.

Knows text and words, nothing of sessions. It has an undo of its own while it has the keyboard.
"""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import imgui
from imgui_bundle.imgui_color_text_edit import TextEditor

from splatviz_app.edits.completion import Completion
from splatviz_app.window import code_font
from widgets import fields

Complete = Callable[[str, str], Completion]  # from the line up to the cursor and the whole text
Mark = tuple[int, str]  # a line, from 1, and what is wrong there

_ROWS, _WIDTH = 8, 19.0  # lines and em of the list of words
_ERROR, _ERROR_ROW = 0xFF4A52F0, 0x403A3AC8  # ABGR
_LIST_KEYS = (
    imgui.Key.up_arrow,
    imgui.Key.down_arrow,
    imgui.Key.tab,
    imgui.Key.escape,
)
_ENTER = (imgui.Key.enter, imgui.Key.keypad_enter)
_NO_WORDS = Completion("")


class CodeEditor:
    """One text with its cursor, its undo and its list of words."""

    def __init__(self, text: str) -> None:
        """Begin with a text."""
        self.text = text
        self.has_focus = False
        self._editor = TextEditor()
        self._editor.set_language(TextEditor.Language.python())
        self._editor.set_tab_size(4)
        self._editor.set_insert_spaces_on_tabs(True)
        # A bracket that closes itself makes Python of what is not finished.
        self._editor.set_complete_paired_glyphs(False)
        self._editor.set_show_whitespaces_enabled(False)
        self._editor.set_show_scrollbar_mini_map_enabled(False)
        self._editor.set_line_number_left_margin(1)
        self._editor.set_text_left_margin(1)
        self._editor.set_text(text)
        self._editor.set_change_callback(self._note_change)
        self._has_changed = False
        self._marks: tuple[Mark, ...] = ()
        self._marked_text = text
        self._words = _NO_WORDS
        self._chosen = 0
        self._chose = False  # whether the hand moved in the list
        self._after_dot = False  # whether its words are parts of something
        self._list_hovered = False
        self._word_at = (-1, -1)  # where the cursor was when the list was made

    def set_text(self, text: str) -> None:
        """Show another text; the editor's own undo begins anew."""
        self.text = text
        self._editor.set_text(text)
        self._has_changed = False
        self._words = _NO_WORDS

    def focus(self) -> None:
        """Take the keyboard with the next frame."""
        self._editor.set_focus()

    @property
    def lists_words(self) -> bool:
        """Whether the list of words is open."""
        return bool(self._words.words)

    def draw(
        self,
        label: str,
        size: tuple[float, float],
        complete: Complete,
        marks: tuple[Mark, ...] = (),
        read_only: bool = False,
    ) -> bool:
        """Draw it and take what is typed.

        Args:
            label: Its name in ImGui.
            size: Width and height in px.
            complete: Finds the words that may come next.
            marks: Lines to mark as wrong.
            read_only: Whether it can only be read and copied.

        Returns:
            Whether the text is another than before.
        """
        editor = self._editor
        editor.set_read_only_enabled(read_only)
        dark = _is_dark()
        editor.set_palette(
            TextEditor.get_dark_palette() if dark else TextEditor.get_light_palette()
        )
        self._mark(marks)
        taken = self._steer_list(label)
        font = code_font()
        if font is not None:
            imgui.push_font(font, imgui.get_style().font_size_base)
        editor.render(label, size, imgui.ChildFlags_.borders)
        line_height = imgui.get_text_line_height()
        if font is not None:
            imgui.pop_font()
        # It asks for text while it has the keyboard, without being an item of ImGui.
        self.has_focus = imgui.get_io().want_text_input and not imgui.is_any_item_active()
        changed = self._take_change()
        if changed and imgui.is_key_pressed(imgui.Key.enter):
            self._indent()
        if taken:
            self._words = _NO_WORDS
        elif not read_only:
            self._update_list(changed, complete)
        self._draw_list(label, line_height)
        return changed

    # ---- text

    def _note_change(self) -> None:
        self._has_changed = True

    def _take_change(self) -> bool:
        if not self._has_changed:
            return False
        self._has_changed = False
        # `get_text` would end the last line, whether it is ended or not.
        lines = range(self._editor.get_line_count())
        text = "\n".join(self._editor.get_line_text(line) for line in lines)
        changed = text != self.text
        self.text = text
        return changed

    def _indent(self) -> None:
        """Begin the block of a line that has just been ended by a colon."""
        at = self._editor.get_main_cursor_position()
        before = self._editor.get_line_text(at.line - 1) if at.line else ""
        if not self._editor.get_line_text(at.line).strip() and before.rstrip().endswith(":"):
            self._editor.replace_section_text(at, at, "    ")
            self._editor.set_cursor(TextEditor.DocPos(at.line, at.index + 4))

    def _mark(self, marks: tuple[Mark, ...]) -> None:
        if marks == self._marks and (self.text == self._marked_text or not marks):
            return
        self._marks, self._marked_text = marks, self.text
        self._editor.clear_markers()
        self._editor.clear_squiggles()
        lines = self._editor.get_line_count()
        for line, message in marks:
            row = min(max(line, 1), lines) - 1
            self._editor.add_marker(row, _ERROR, _ERROR_ROW, message, message)
            content = self._editor.get_line_text(row)
            first = len(content) - len(content.lstrip())
            if content.strip():
                begin, end = TextEditor.DocPos(row, first), TextEditor.DocPos(row, len(content))
                self._editor.add_squiggle(begin, end, 0, _ERROR, message)

    # ---- the list of words

    def _update_list(self, typed: bool, complete: Complete) -> None:
        at = self._editor.get_main_cursor_position()
        place = (at.line, at.index)
        io = imgui.get_io()
        asked = self.has_focus and io.key_ctrl and imgui.is_key_pressed(imgui.Key.space, False)
        moved = place != self._word_at and not typed and not asked
        if (not self.has_focus and not self._list_hovered) or moved:
            self._words = _NO_WORDS
        if self.has_focus and (typed or asked):
            before = self._editor.get_line_text(at.line)[: at.index]
            words = complete(before, self.text)
            wanted = bool(words.typed) or before.endswith(".") or asked
            self._words = words if wanted and not words.is_done else _NO_WORDS
            self._chosen, self._chose = 0, False
            # A word that stands there already needs no taking: Enter goes to the text.
            whole = bool(words.words) and words.words[0][0] == words.typed
            self._after_dot = before.removesuffix(words.typed).endswith(".") and not whole
        self._word_at = place

    def _steer_list(self, label: str) -> bool:
        """Give the list the keys that belong to it while it is open; whether a word was taken."""
        if not self.lists_words or not self.has_focus:
            return False
        owner = imgui.get_id(f"{label} words")
        lock = int(imgui.internal.InputFlagsPrivate_.lock_this_frame)
        # Whoever ends a line with a short word of their own wants a new line.
        enters = self._chose or self._after_dot
        for key in (*_LIST_KEYS, *(_ENTER if enters else ())):
            imgui.internal.set_key_owner(key, owner, lock)

        def pressed(*keys: imgui.Key) -> bool:
            repeat = int(imgui.InputFlags_.repeat)
            return any(imgui.internal.is_key_pressed(key, repeat, owner) for key in keys)

        count = len(self._words.words)
        step = pressed(imgui.Key.down_arrow) - pressed(imgui.Key.up_arrow)
        if step:
            self._chosen, self._chose = (self._chosen + step) % count, True
        if pressed(imgui.Key.escape):
            self._words = _NO_WORDS
        elif pressed(imgui.Key.tab) or (enters and pressed(*_ENTER)):
            self._take_word(self._words.words[self._chosen][0])
            return True
        return False

    def _take_word(self, word: str) -> None:
        """Put a word in the place of what was typed of it; one step of the editor's undo."""
        at = self._editor.get_main_cursor_position()
        begin = TextEditor.DocPos(at.line, at.index - len(self._words.typed))
        self._editor.replace_section_text(begin, at, word)
        self._editor.set_cursor(TextEditor.DocPos(at.line, begin.index + len(word)))
        self._has_changed = True
        self._word_at = (at.line, begin.index + len(word))

    def _draw_list(self, label: str, line_height: float) -> None:
        self._list_hovered = False
        if not self.lists_words:
            return
        words, about = self._words.words, self._words.words[self._chosen][1]
        at = self._editor.get_main_cursor_position()
        begin = TextEditor.DocPos(at.line, at.index - len(self._words.typed))
        corner = self._editor.doc_pos2_screen_pos(begin)
        rows = min(_ROWS, len(words))
        height = rows * imgui.get_text_line_height_with_spacing() + fields.em(0.9)
        height += imgui.get_text_line_height_with_spacing() * 2 if about else 0
        below = corner.y + line_height + fields.em(0.2)
        room, width = imgui.get_main_viewport().size, fields.em(_WIDTH)
        top = below if below + height < room.y else corner.y - height - fields.em(0.2)
        imgui.set_next_window_pos((min(corner.x, room.x - width - fields.em(0.3)), top))
        imgui.set_next_window_size((width, height))
        flags = (
            imgui.WindowFlags_.no_decoration
            | imgui.WindowFlags_.no_move
            | imgui.WindowFlags_.no_saved_settings
            | imgui.WindowFlags_.no_focus_on_appearing
            | imgui.WindowFlags_.no_nav
            | imgui.WindowFlags_.no_docking
            | imgui.WindowFlags_.tooltip  # over all others, whoever has the keyboard
        )
        if imgui.begin(f"{label} words", None, flags)[0]:
            self._list_hovered = imgui.is_window_hovered()
            self._draw_words(rows)
            if about:
                imgui.separator()
                fields.muted(about)
        imgui.end()

    def _draw_words(self, rows: int) -> None:
        words = self._words.words
        first = min(max(0, self._chosen - rows + 1), len(words) - rows)
        for place in range(first, first + rows):
            word = words[place][0]
            imgui.selectable(f"{word}##word", place == self._chosen)
            # On the press: on the release the keyboard would have gone.
            if imgui.is_item_hovered() and imgui.is_mouse_clicked(imgui.MouseButton_.left):
                self._take_word(word)
                self._words = _NO_WORDS
                self._editor.set_focus()
                return


def _is_dark() -> bool:
    background = imgui.get_style_color_vec4(imgui.Col_.window_bg)
    return background.x + background.y + background.z < 1.5
