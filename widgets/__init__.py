"""The panels: they draw the session and replace parts of it, and compute nothing."""

from __future__ import annotations

from splatviz_app.session import Session
from splatviz_app.window import Panel, WindowParts


def window_parts() -> WindowParts:
    """Everything the window shows: each panel in the order of its tab, the menu, the status bar."""
    from widgets.bookmarks import BookmarksPanel
    from widgets.camera import CameraPanel
    from widgets.edit import EditPanel
    from widgets.eval import EvalPanel
    from widgets.inversion import InversionPanel
    from widgets.latent import LatentPanel
    from widgets.load import LoadPanel
    from widgets.log import LogPanel
    from widgets.menu import Menu
    from widgets.performance import PerformancePanel
    from widgets.project_dialogs import ProjectDialogs
    from widgets.render import RenderPanel
    from widgets.save import SavePanel
    from widgets.status import StatusBar
    from widgets.training import TrainingPanel
    from widgets.viewport import ViewportPanel

    load, save, projects = LoadPanel(), SavePanel(), ProjectDialogs()
    latent, bookmarks = LatentPanel(), BookmarksPanel()
    training, edit, inversion = TrainingPanel(), EditPanel(), InversionPanel()
    menu = Menu(load.ask_for_file, save.save_picture, save.save_head, projects, bookmarks.keep)
    panels: tuple[Panel, ...] = (
        ViewportPanel(),
        load,
        latent,
        bookmarks,
        CameraPanel(),
        RenderPanel(),
        edit,
        training,
        inversion,
        save,
        PerformancePanel(),
        EvalPanel(),
        LogPanel(),
    )

    def overlay(session: Session) -> None:
        menu.draw_overlay(session, inversion.covers_head)
        # Also while the panel that opened a dialog is hidden behind another tab.
        load.poll_dialogs(session)
        save.poll_dialogs(session)
        training.poll_dialogs(session)
        edit.poll_dialogs(session)
        latent.poll(session)
        bookmarks.poll(session)
        inversion.poll(session)
        projects.draw(session)

    return WindowParts(panels, menu.draw_menus, StatusBar(), overlay)
