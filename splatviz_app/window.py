"""The window: docking, layout, the picture's texture, the panels' error boundary.

The only file that calls OpenGL. Knows the `Panel` protocol, not which panels exist.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

# Before the first import of OpenGL, which chooses its platform then.
if sys.platform == "linux":
    os.environ.setdefault(
        "PYOPENGL_PLATFORM",
        "x11" if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else "egl",
    )

import OpenGL
from imgui_bundle import hello_imgui, imgui, immapp  # before glfw: both then share one library

from renderer.errors import SplatheadError
from splatviz_app.preferences import config_folder, save_preferences
from splatviz_app.session import Picture, Session

if TYPE_CHECKING:
    from splatviz_app.pipeline import RenderResult

# ImGui's own drawing shares the context; an error it leaves behind would be raised from our next call.
OpenGL.ERROR_CHECKING = False

Dock = Literal["main", "left", "left_low", "right", "right_low", "bottom"]
SIZE = (1280, 800)  # px, of a first start

_fonts: dict[str, imgui.ImFont] = {}  # of the open window

_SOFTWARE_GL = (b"llvmpipe", b"softpipe", b"swrast", b"SwiftShader")
_NICENESS = 4  # of the engine's threads beside software OpenGL; the window's is 0
_SOFTWARE_FPS = 40.0  # frames of the window per second

# dock: (the dock it is cut from, on which side, how much of it)
_DOCKS: dict[Dock, tuple[str, imgui.Dir, float]] = {
    "left": ("MainDockSpace", imgui.Dir.left, 0.285),
    "right": ("MainDockSpace", imgui.Dir.right, 0.31),
    "bottom": ("MainDockSpace", imgui.Dir.down, 0.17),
    "left_low": ("left", imgui.Dir.down, 0.62),
    "right_low": ("right", imgui.Dir.down, 0.52),
}


class Panel(Protocol):
    """A part of the window that draws the session and replaces parts of it."""

    title: str
    dock: Dock

    def visible(self, session: Session) -> bool:
        """Whether there is anything to show."""

    def draw(self, session: Session) -> None:
        """Draw into the current ImGui window."""


@dataclass(frozen=True)
class WindowParts:
    """What is drawn: the panels, and what belongs to none of them."""

    panels: Sequence[Panel]
    menu: Callable[[Session], None]
    status: Callable[[Session], None]
    # Drawn last, over everything: notices, the list of shortcuts, dialogs; takes the keys as well.
    overlay: Callable[[Session], None]


@dataclass(frozen=True)
class WindowOptions:
    """How the window behaves; the defaults are for people."""

    size: tuple[int, int] = SIZE
    # Forget the layout, theme and preferences of this run: for tests and screenshots.
    remember: bool = True
    # Save the whole window here once it has settled, and close.
    screenshot: Path | None = None
    # Called after each frame, before it is shown: for tests and benchmarks.
    after_frame: Callable[[], None] | None = None
    # Frames of the window per second at most; 0 for as many as the machine makes.
    fps_limit: float = 60.0
    # Raise what panels raised once the window has closed, instead of only logging it.
    raise_crashes: bool = False


def code_font() -> imgui.ImFont | None:
    """The font of code, all of whose letters are equally wide; None while no window is open."""
    return _fonts.get("code")


def has_display() -> bool:
    """Whether there is a screen to open a window on."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def use_no_display() -> None:
    """Open the next window in memory, through EGL: no X server, no Wayland, no screen.

    Must be called before each such window.
    """
    os.environ["EGL_PLATFORM"] = "surfaceless"
    os.environ.pop("DISPLAY", None)
    os.environ.pop("WAYLAND_DISPLAY", None)
    import glfw

    glfw.init_hint(glfw.PLATFORM, glfw.PLATFORM_NULL)
    if not glfw.init():
        raise SplatheadError(
            "No window can be opened in memory: OpenGL through EGL is missing. Install libegl1 and "
            "libgl1-mesa-dri, or use the commands without a window (python main.py --help)."
        )
    glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.EGL_CONTEXT_API)


def run_window(
    session: Session,
    parts: WindowParts,
    options: WindowOptions | None = None,
    loop: Callable[[hello_imgui.RunnerParams], None] | None = None,
) -> None:
    """Show the window until the user closes it; the session's engine runs meanwhile.

    Args:
        session: What is shown.
        parts: What shows it.
        options: How the window behaves.
        loop: Runs the window's frames; a test puts its own hand around hello_imgui's.

    Raises:
        SplatheadError: No window can be opened here, the screenshot cannot be saved, or it shows an
            error instead of the head.
    """
    options = options or WindowOptions()
    if not has_display():
        use_no_display()
    session.pipeline.warm_up()
    window = _Window(session, parts, options)
    session.engine.start()
    session.evaluator.start()
    gc.collect()
    # What is here by now stays: to look through it for garbage would stop a frame for a tenth of a second.
    gc.freeze()
    try:
        (loop or _loop)(window.parameters())
    except RuntimeError as error:
        raise SplatheadError(
            f"The window could not be opened ({error}). Update the graphics driver, or use the "
            "commands without a window (python main.py --help)."
        ) from error
    finally:
        gc.unfreeze()
        session.evaluator.stop()
        session.pipeline.scripts.stop()
        session.engine.stop()
    if options.screenshot is not None:
        _save_screenshot(options.screenshot)
        if session.banner:  # in the picture as well, but a script does not look at it
            raise SplatheadError(session.banner)
    if options.raise_crashes and window.crashes:
        raise window.crashes[0]


@dataclass
class _Window:
    session: Session
    parts: WindowParts
    options: WindowOptions
    # The newest exceptions of panels.
    crashes: list[Exception] = field(default_factory=list)
    _is_software_gl: bool = False
    _texture: int = 0
    _texture_size: tuple[int, int] = (0, 0)
    _uploaded: RenderResult | None = None
    _last_frame: float = field(default_factory=time.monotonic)
    _settled_frames: int = 0
    _title: str = "Splathead"

    def parameters(self) -> hello_imgui.RunnerParams:
        """What hello_imgui needs to run the window."""
        params = hello_imgui.RunnerParams()
        params.app_window_params.window_title = "Splathead"
        params.app_window_params.window_geometry.size = self.options.size
        params.app_window_params.restore_previous_geometry = self.options.remember
        self._remember_layout(params)

        look = params.imgui_window_params
        look.default_imgui_window_type = (
            hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        )
        look.show_menu_bar = True
        look.show_menu_app = False  # ours says File, Edit, View and Help
        look.show_menu_view = False  # the menu places it
        look.show_status_bar = True
        look.show_status_fps = False
        look.tweaked_theme.theme = hello_imgui.ImGuiTheme_.darcula_darker
        look.tweaked_theme.tweaks.rounding = 3.0

        docking = params.docking_params
        docking.layout_name = "Default"
        docking.docking_splits = [
            hello_imgui.DockingSplit(parent, name, side, share)
            for name, (parent, side, share) in _DOCKS.items()
        ]
        docking.dockable_windows = [self._dockable(panel) for panel in self.parts.panels]

        calls = params.callbacks
        calls.show_menus = self._guarded("menu", lambda: self.parts.menu(self.session))
        calls.show_status = self._guarded("status bar", lambda: self.parts.status(self.session))
        calls.post_render_dockable_windows = self._guarded(
            "overlay", lambda: self.parts.overlay(self.session)
        )
        calls.load_additional_fonts = _load_fonts
        calls.post_init = self._on_start
        calls.pre_new_frame = self._begin_frame
        calls.before_imgui_render = self._end_frame
        calls.before_exit = self._on_exit
        calls.after_swap = self._after_swap

        # Multisampling smooths nothing here, and doubles the cost where OpenGL is software.
        params.renderer_backend_options.open_gl_options = hello_imgui.OpenGlOptions()
        params.renderer_backend_options.open_gl_options.anti_aliasing_samples = 0
        params.fps_idling.fps_idle = 4.0
        params.fps_idling.fps_max = self.options.fps_limit
        params.fps_idling.vsync_to_monitor = False
        params.fps_idling.enable_idling = self.options.screenshot is None
        return params

    def _remember_layout(self, params: hello_imgui.RunnerParams) -> None:
        if not self.options.remember:
            params.ini_disable = True
            return
        folder = config_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            params.ini_disable = True
            self.session.log.add(
                "warning",
                f"The window's layout is not remembered: {folder} cannot be made ({error.strerror}).",
            )
            return
        params.ini_folder_type = hello_imgui.IniFolderType.absolute_path
        params.ini_filename = str(folder / "layout.ini")

    def _dockable(self, panel: Panel) -> hello_imgui.DockableWindow:
        dock = "MainDockSpace" if panel.dock == "main" else panel.dock
        window = hello_imgui.DockableWindow(
            panel.title, dock, self._guarded(panel.title, lambda: panel.draw(self.session))
        )
        window.can_be_closed = panel.dock != "main"
        if panel.dock == "main":
            window.call_begin_end = False
            window.gui_function = _edge_to_edge(panel.title, window.gui_function)
        return window

    # ---- a panel that raises must not take the window with it

    def _guarded(self, name: str, draw: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            state = imgui.internal.ErrorRecoveryState()
            imgui.internal.error_recovery_store_state(state)
            try:
                draw()
            except SplatheadError as error:
                _recover(state)
                self.session.report(error)
            except Exception as error:  # noqa: BLE001 - the boundary: shown in place, logged, survived
                _recover(state)
                details = traceback.format_exc()
                self.session.log.add("error", f"The {name} panel failed: {error}", details)
                self.crashes = [*self.crashes[-20:], error]
                imgui.text_wrapped(f"This panel failed ({type(error).__name__}); see the log.")

        return guarded

    # ---- the frame

    def _on_start(self) -> None:
        import glfw
        from imgui_bundle import glfw_utils
        from OpenGL import GL

        handle = glfw_utils.glfw_window_hello_imgui()
        glfw.set_drop_callback(handle, self._on_drop)  # type: ignore[arg-type]
        glfw.set_window_close_callback(handle, self._on_close)
        self.session.engine.wake = self.session.evaluator.wake = hello_imgui.request_refresh
        drawn_by = GL.glGetString(GL.GL_RENDERER) or b""
        self._is_software_gl = any(name in drawn_by for name in _SOFTWARE_GL)
        if self._is_software_gl:  # it takes the same cores as the heads: leave them some
            if self.options.fps_limit > 0:
                pace = hello_imgui.get_runner_params().fps_idling
                pace.fps_max = min(self.options.fps_limit, _SOFTWARE_FPS)
            _put_engine_behind_gl()

    def _on_drop(self, _window: object, paths: Sequence[str]) -> None:
        self.session.open_dropped(paths)
        hello_imgui.request_refresh()

    def _on_close(self, window: object) -> None:
        """Ask before closing, where there is something to ask."""
        import glfw

        glfw.set_window_should_close(window, False)  # type: ignore[arg-type]
        self.session.project.quit()
        hello_imgui.request_refresh()

    def _show_title(self) -> None:
        title = self.session.project.title
        if title != self._title:
            import glfw
            from imgui_bundle import glfw_utils

            self._title = title
            glfw.set_window_title(glfw_utils.glfw_window_hello_imgui(), title)

    def _begin_frame(self) -> None:
        _make_readable(imgui.get_style())  # the user may have chosen another theme
        _give_popups_the_keyboard()
        self._upload()
        self._upload_small()

    def _end_frame(self) -> None:
        now = time.monotonic()
        session = self.session
        held = imgui.is_any_item_active() or imgui.is_any_mouse_down()
        session.hand_is_busy = held or now < session.busy_until
        session.update(now - self._last_frame)
        self._last_frame = now
        self._show_wanted_panel()
        self._show_title()
        if session.inertia.moves or session.moves_by_itself:
            hello_imgui.request_refresh()
        if session.wants_quit:
            hello_imgui.get_runner_params().app_shall_exit = True
        if self.options.screenshot is not None:
            self._close_when_settled()

    def _show_wanted_panel(self) -> None:
        """Bring a panel to the front that the session asks for, also one that was closed."""
        title, self.session.wants_panel = self.session.wants_panel, ""
        if not title:
            return
        docking = hello_imgui.get_runner_params().docking_params
        panel = docking.dockable_window_of_name(title)
        if panel is not None:
            panel.is_visible = True
            docking.focus_dockable_window(title)

    def _after_swap(self) -> None:
        if self._is_software_gl:
            from OpenGL import GL

            # Without a screen a swap begins nothing: frames would pile up until an upload waits for all.
            GL.glFlush()
        if self.options.after_frame is not None:
            self.options.after_frame()

    def _upload(self) -> None:
        """Bring the engine's newest picture to the texture."""
        result = self.session.engine.frame
        if result is None or result is self._uploaded:
            return
        from OpenGL import GL

        height, width = result.image.shape[:2]
        if (width, height) != self._texture_size:
            self._texture = _upload_picture(result.image, self._texture)
            self._texture_size = (width, height)
        else:
            GL.glBindTexture(GL.GL_TEXTURE_2D, self._texture)
            place = (GL.GL_TEXTURE_2D, 0, 0, 0, width, height, GL.GL_RGBA)
            GL.glTexSubImage2D(*place, GL.GL_UNSIGNED_BYTE, result.image)
            GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._uploaded = result
        self.session.picture = Picture(self._texture, result)

    def _upload_small(self) -> None:
        """Bring the pictures that panels asked for to textures, and delete those of long ago."""
        from OpenGL import GL

        textures = self.session.textures
        stale = textures.next_frame()
        if stale:
            GL.glDeleteTextures(stale)
        for pixels in textures.missing():
            textures.bring(pixels, _upload_picture(pixels))

    def _close_when_settled(self) -> None:
        failed = self.session.engine.failure is not None
        shown = self.session.picture is not None or self.session.scene is None or failed
        settled = self.session.is_settled and self._uploaded is self.session.engine.frame
        # A few frames more: docks find their size late, and a picture's size follows the dock.
        self._settled_frames = self._settled_frames + 1 if shown and settled else 0
        if self._settled_frames >= 8:
            hello_imgui.get_runner_params().app_shall_exit = True

    def _on_exit(self) -> None:
        _fonts.clear()
        textures = self.session.textures.clear() + ([self._texture] if self._texture else [])
        if textures:
            from OpenGL import GL

            GL.glDeleteTextures(textures)
        self.session.picture = None
        if self.options.remember:
            try:
                save_preferences(self.session.preferences)
            except SplatheadError as error:
                print(error, file=sys.stderr)  # noqa: T201 - the window is closing: nowhere else


def _upload_picture(pixels: np.ndarray, texture: int = 0) -> int:
    """Make a texture, or give one another size. Returns OpenGL's name of it.

    Args:
        pixels: [H, W, 4] uint8, contiguous.
        texture: The one to fill; 0 makes one.
    """
    from OpenGL import GL

    texture = texture or int(GL.glGenTextures(1))
    height, width = pixels.shape[:2]
    GL.glBindTexture(GL.GL_TEXTURE_2D, texture)
    for parameter, value in (
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_CLAMP_TO_EDGE),
        (GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_EDGE),
    ):
        GL.glTexParameteri(GL.GL_TEXTURE_2D, parameter, value)
    shape = (GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA)
    GL.glTexImage2D(*shape, GL.GL_UNSIGNED_BYTE, pixels)
    GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
    return texture


def _edge_to_edge(title: str, draw: Callable[[], None]) -> Callable[[], None]:
    """Draw a dockable window whose content reaches its edges and never scrolls."""
    flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse

    def drawn() -> None:
        imgui.push_style_var(imgui.StyleVar_.window_padding, (0, 0))
        shown, _ = imgui.begin(title, None, flags)
        imgui.pop_style_var()
        if shown:
            draw()
        imgui.end()

    return drawn


def _give_popups_the_keyboard() -> None:
    """Let arrows, Enter and Escape work in an open menu or list; else they belong to the head."""
    io = imgui.get_io()
    keyboard = int(imgui.ConfigFlags_.nav_enable_keyboard)
    if imgui.is_popup_open("", imgui.PopupFlags_.any_popup):
        io.config_flags |= keyboard
    else:
        io.config_flags &= ~keyboard


def _make_readable(style: imgui.Style) -> None:
    """Let nothing shine through menus, tooltips and dialogs, which lie over a colourful picture."""
    for kind in (imgui.Col_.window_bg, imgui.Col_.popup_bg, imgui.Col_.title_bg_active):
        color = style.color_(kind)
        if color.w != 1.0:
            style.set_color_(kind, (color.x, color.y, color.z, 1.0))
    style.tab_min_width_shrink = hello_imgui.em_size(3.5)  # four tabs beside each other in a column
    style.set_color_(imgui.Col_.modal_window_dim_bg, (0.0, 0.0, 0.0, 0.4))


def _put_engine_behind_gl() -> None:
    """Let software OpenGL's threads go before all others but this one.

    They share the cores with those that make heads, and the window waits for each of its frames.
    Linux gives each thread a niceness of its own, which the threads it starts inherit.
    """
    if sys.platform != "linux":
        return
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            is_gl = (task / "comm").read_text().startswith("llvmpipe")
            if not is_gl and int(task.name) != threading.get_native_id():
                os.setpriority(os.PRIO_PROCESS, int(task.name), _NICENESS)


def _loop(parameters: hello_imgui.RunnerParams) -> None:
    immapp.run(parameters, immapp.AddOnsParams(with_implot=True))


def _recover(state: imgui.internal.ErrorRecoveryState) -> None:
    """Close what a panel began and did not end, without ImGui's own alarm."""
    io = imgui.get_io()
    before = io.config_error_recovery_enable_assert
    io.config_error_recovery_enable_assert = False
    io.config_error_recovery_enable_tooltip = False
    io.config_error_recovery_enable_debug_log = False
    imgui.internal.error_recovery_try_to_recover_state(state)
    io.config_error_recovery_enable_assert = before


def _load_fonts() -> None:
    hello_imgui.imgui_default_settings.load_default_font_with_font_awesome_icons()
    _fonts["code"] = hello_imgui.load_font("fonts/Inconsolata-Medium.ttf", 15.0)


def _save_screenshot(path: Path) -> None:
    import io

    from PIL import Image

    from renderer.files import atomic_write

    pixels = np.asarray(hello_imgui.final_app_window_screenshot())
    if pixels.size == 0:
        raise SplatheadError("The window closed before it could be pictured; try again.")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    with atomic_write(path) as file:
        file.write(encoded.getvalue())
