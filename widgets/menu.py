"""The menu bar, the keys behind it, and what lies over everything: the list of shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imgui_bundle import ImVec2, hello_imgui, imgui

from splatviz_app import controls
from splatviz_app.scenes import BUILT_IN
from splatviz_app.session import Session
from widgets import fields
from widgets.keys import FIELDS, MOUSE, PHOTO, SHORTCUTS, Shortcut, chord, press_keys, quit_window
from widgets.project_dialogs import ProjectDialogs

# Of hello_imgui's themes those in which every control can be told from its background.
_THEMES = {
    "Dark": hello_imgui.ImGuiTheme_.darcula_darker,
    "Medium": hello_imgui.ImGuiTheme_.darcula,
    "Grey": hello_imgui.ImGuiTheme_.gray_variations_darker,
    "Light": hello_imgui.ImGuiTheme_.imgui_colors_light,
}
_LEFT = (
    "Camera",
    "Mouse over the picture",
    "Over a photo",
)  # the groups in the overlay's left column


class Menu:
    """Draws the menus and the overlay, and listens to the keys."""

    def __init__(
        self,
        open_file: Callable[[Session], None],
        save_picture: Callable[[Session], None],
        save_head: Callable[[Session], None],
        projects: ProjectDialogs,
        keep_head: Callable[[Session], None],
    ) -> None:
        """Take the commands that belong to panels and dialogs."""
        save_as = (chord("s", ctrl=True, shift=True),)
        self._restore = projects.restore
        keep = (chord("b", ctrl=True),)
        self._keep = Shortcut("Ctrl+B", "Keep this head", keep, keep_head, "Head")
        self._files = (
            Shortcut("Ctrl+N", "New project", (chord("n", ctrl=True),), _begin_anew, "File"),
            Shortcut("Ctrl+O", "Open…", (chord("o", ctrl=True),), open_file, "File"),
            Shortcut("Ctrl+S", "Save project", (chord("s", ctrl=True),), projects.save, "File"),
            Shortcut("Ctrl+Shift+S", "Save project as…", save_as, projects.save_as, "File"),
            Shortcut("Ctrl+P", "Save picture", (chord("p", ctrl=True),), save_picture, "File"),
            Shortcut("Ctrl+E", "Save head (.ply)", (chord("e", ctrl=True),), save_head, "File"),
            Shortcut("Ctrl+Q", "Quit", (chord("q", ctrl=True),), quit_window, "File"),
        )

    def draw_menus(self, session: Session) -> None:
        """Draw the menus inside of the menu bar."""
        if imgui.begin_menu("File"):
            self._draw_file_menu(session)
            imgui.end_menu()
        if imgui.begin_menu("Edit"):
            able = {"Undo": session.history.can_undo, "Redo": session.history.can_redo}
            for shortcut in SHORTCUTS:
                if shortcut.group == "Edit":
                    _item(session, shortcut, able.get(shortcut.says, True))
            imgui.end_menu()
        if imgui.begin_menu("Camera"):
            for shortcut in SHORTCUTS:
                if shortcut.group == "Camera" and not shortcut.repeats:
                    here = _is_view(session, shortcut.says)
                    _item(session, shortcut, session.result is not None, here)
            imgui.end_menu()
        if imgui.begin_menu("View"):
            _draw_view_menu(hello_imgui.get_runner_params())
            imgui.end_menu()
        if imgui.begin_menu("Help"):
            for shortcut in SHORTCUTS:
                if shortcut.group == "Help":
                    _item(session, shortcut, ticked=session.show_shortcuts)
            imgui.end_menu()

    def _draw_file_menu(self, session: Session) -> None:
        new, open_file, save, save_as, save_picture, save_head, quit_ = self._files
        has_head = session.opened is not None
        _item(session, new)
        _item(session, open_file)
        if imgui.begin_menu("Open recent", bool(session.preferences.recent)):
            for path in session.preferences.recent:
                if imgui.menu_item_simple(f"{Path(path).name}##{path}"):
                    session.open(path)
                imgui.set_item_tooltip(path)
            imgui.end_menu()
        for name, own in BUILT_IN.items():
            if imgui.menu_item_simple(name, enabled=own.exists()):
                session.open(own)
        if imgui.menu_item_simple("Restore from a picture…"):
            self._restore(session)
        imgui.set_item_tooltip(
            "Pictures and heads saved by Splathead say how they were made: model, latent, edits, camera."
        )
        imgui.separator()
        _item(session, save)
        _item(session, save_as)
        imgui.separator()
        _item(session, save_picture, has_head)
        _item(session, save_head, has_head)
        imgui.separator()
        _item(session, quit_)

    def draw_overlay(self, session: Session, head_is_covered: bool = False) -> None:
        """Take the keys, and list them if the user asked.

        Args:
            session: What they act on.
            head_is_covered: Whether the hand works in a window over the head: keys that turn the head,
                or make another one, would do so unseen.
        """
        shortcuts = (*self._files, self._keep, *SHORTCUTS)
        if head_is_covered:
            shortcuts = tuple(key for key in shortcuts if not key.needs_head)
        press_keys(session, shortcuts)
        if session.show_shortcuts:
            self._draw_shortcuts(session)

    def _draw_shortcuts(self, session: Session) -> None:
        em = hello_imgui.em_size()
        middle = imgui.get_main_viewport().get_center()
        imgui.set_next_window_pos(middle, imgui.Cond_.always, ImVec2(0.5, 0.5))
        flags = (
            imgui.WindowFlags_.no_docking
            | imgui.WindowFlags_.always_auto_resize
            | imgui.WindowFlags_.no_saved_settings
            | imgui.WindowFlags_.no_collapse
            | imgui.WindowFlags_.no_move
        )
        shown, stays = imgui.begin("Shortcuts", True, flags)
        if shown:
            groups = self._groups()
            # Two columns: one would be taller than a small window.
            if imgui.begin_table("##Columns", 2, imgui.TableFlags_.sizing_fixed_fit):
                imgui.table_next_column()
                for name in _LEFT:
                    _draw_rows(name, groups.pop(name), em)
                imgui.table_next_column()
                for name, rows in groups.items():
                    _draw_rows(name, rows, em)
                imgui.end_table()
            closes = imgui.is_key_pressed(imgui.Key.escape, False)
            session.show_shortcuts = bool(stays) and not closes
        imgui.end()

    def _groups(self) -> dict[str, list[tuple[str, str]]]:
        """Keys and what they do, by the title over them."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for shortcut in (*self._files, self._keep, *SHORTCUTS):
            groups.setdefault(shortcut.group, []).append((shortcut.keys, shortcut.says))
        groups["Mouse over the picture"] = list(MOUSE)
        groups["Over a photo"] = list(PHOTO)
        groups["Numbers and fields"] = list(FIELDS)
        return groups


def _item(session: Session, shortcut: Shortcut, enabled: bool = True, ticked: bool = False) -> None:
    if imgui.menu_item_simple(shortcut.says, shortcut.keys, ticked, enabled):
        shortcut.do(session)


def _draw_view_menu(window: hello_imgui.RunnerParams) -> None:
    """Panels, layout and theme; hello_imgui remembers all three."""
    panels = window.docking_params.dockable_windows
    for panel in panels:
        if panel.can_be_closed:
            chosen = imgui.menu_item_simple(panel.label, "", panel.is_visible)
            panel.is_visible = panel.is_visible != chosen
    imgui.separator()
    if imgui.menu_item_simple("Reset layout"):
        for panel in panels:
            panel.is_visible = True
        window.docking_params.layout_reset = True
    imgui.set_item_tooltip("Show all panels again, each where it was at first.")
    if imgui.begin_menu("Theme"):
        look = window.imgui_window_params.tweaked_theme
        for name, theme in _THEMES.items():
            if imgui.menu_item_simple(name, "", look.theme == theme):
                look.theme = theme
                hello_imgui.apply_tweaked_theme(look)
        imgui.end_menu()


def _begin_anew(session: Session) -> None:
    session.project.new()


def _is_view(session: Session, name: str) -> bool:
    view = controls.VIEWS.get(name)
    return view is not None and (session.rig.yaw, session.rig.pitch) == view


def _draw_rows(title: str, rows: list[tuple[str, str]], em: float) -> None:
    fields.section(title)
    left = imgui.get_cursor_pos_x()
    for keys, says in rows:
        imgui.text_unformatted(keys)
        imgui.same_line()
        imgui.set_cursor_pos_x(left + 11 * em)
        imgui.text_colored(fields.quiet_color(), says)
    imgui.dummy((27 * em, 0))
