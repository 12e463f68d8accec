"""Splathead: open a head or a generator of heads, in a window or from the command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from splatviz_app.engine import Work
    from splatviz_app.session import Session

_EXAMPLES = """examples:
  python main.py
      open the window on the generator that comes with the program
  python main.py --model ffhqc_512.pkl
      open a generator; a .ply opens a single head
  python main.py --model ffhqc_512.pkl --seed 3 --psi 0.7 --png out.png --ply out.ply
      make one head without a window: a picture, and splats for Unity
  python main.py --model ffhqc_512.pkl --tuning ada.tuning.safetensors --png out.png
      a head of a generator that was tuned to photos
  python main.py --model head.ply --yaw 40 --size 2048 2048 --transparent --png out.png
      a large picture of a head from the side, without background
  python main.py --model day.splathead --size 2048 2048 --png out.png
      a picture of a project, as it was saved; its place and camera, not those of the command line
  python main.py --screenshot window.png
      the whole window as a picture; needs no display
"""


@dataclass(frozen=True)
class Arguments:
    """Show 3D Gaussian heads and the generators that make them."""

    # A generator (.pkl, .safetensors), a head (.ply), a project (.splathead) or, for the window, a photo; the
    # generator that comes with the program if not given.
    model: Annotated[Path | None, tyro.conf.arg(aliases=["-m"])] = None
    # Write a picture here, and open no window.
    png: Path | None = None
    # Write the head's splats here, and open no window.
    ply: Path | None = None
    # Write a picture of the whole window here, and close it.
    screenshot: Path | None = None
    # Which heads the latent map holds.
    seed: int = 0
    # Place on the latent map, each from -1 to 1.
    at: tuple[float, float] = (0.0, 0.0)
    # Truncation, -1 to 2: 0 is the mean head, 1 the plain one.
    psi: float = 0.7
    # The space in which the map is interpolated.
    space: Literal["W", "Z"] = "W"
    # What the generator was tuned by (.tuning.safetensors).
    tuning: Path | None = None
    # How much of the tuning is added, 0 to 1.
    tuning_strength: float = 1.0
    # Angle of the camera to the side, degrees.
    yaw: float = 0.0
    # Angle of the camera upward, degrees.
    pitch: float = 0.0
    # Distance of the camera, world units.
    radius: float = 2.7
    # Width and height of the picture in px.
    size: tuple[int, int] = (1024, 1024)
    # Leave out the picture's background.
    transparent: bool = False
    # Draw larger and average, for smoother edges.
    supersampling: Literal[1, 2, 4] = 1
    # The program that will open the .ply.
    profile: Literal["unity", "unity-classic", "supersplat", "raw"] = "unity"
    # The rasterizer; the fastest of this machine if not given.
    backend: Literal["torch", "cpu", "gsplat"] | None = None
    # Forget the layout, theme and preferences of this run.
    fresh: bool = False


def main() -> int:
    """Do what the command line says; 0 if that went well."""
    parser_settings = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    about = f"{Arguments.__doc__}\n\n{_EXAMPLES}"
    arguments = tyro.cli(
        Arguments, prog="python main.py", description=about, config=parser_settings
    )
    from renderer.errors import SplatheadError

    try:
        if arguments.png is not None or arguments.ply is not None:
            _make_files(arguments)
        else:
            _open_window(arguments)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _new_session(arguments: Arguments) -> Session:
    """A session as the arguments describe it, with nothing open yet."""
    import math
    from dataclasses import replace

    from models.latents import LatentSettings
    from renderer.camera import OrbitRig
    from splatviz_app import controls
    from splatviz_app.edits.desk import EditDesk
    from splatviz_app.preferences import Preferences, load_preferences
    from splatviz_app.session import new_session

    preferences = Preferences() if arguments.fresh else load_preferences()
    if arguments.backend is not None:
        preferences = replace(preferences, backend=arguments.backend)
    session = new_session(preferences)
    if arguments.fresh:
        session.editing = EditDesk(None)
    _check_latent(arguments)
    x, y = arguments.at
    session.latent = LatentSettings(
        seed=arguments.seed, x=x, y=y, psi=arguments.psi, space=arguments.space
    )
    yaw, pitch = math.radians(arguments.yaw), math.radians(arguments.pitch)
    session.rig = controls.limited(OrbitRig(yaw, pitch, arguments.radius))
    return session


def _check_latent(arguments: Arguments) -> None:
    """Refuse what is no place in a latent space, in a sentence."""
    import math

    from renderer.errors import SplatheadError

    if not 0 <= arguments.seed < 2**32:
        raise SplatheadError(f"--seed is a number from 0 to {2**32 - 1}, not {arguments.seed}.")
    if not math.isfinite(arguments.psi):
        raise SplatheadError("--psi is a number from -1 to 2; use 0.7 if in doubt.")
    if not 0 <= arguments.tuning_strength <= 1:
        raise SplatheadError("--tuning-strength is a number from 0 to 1.")
    if not all(map(math.isfinite, arguments.at)):
        raise SplatheadError("--at is a place on the latent map: two numbers from -1 to 1.")


def _make_files(arguments: Arguments) -> None:
    """Make the picture and the head asked for, without a window."""
    from dataclasses import replace

    from splatviz_app import export
    from splatviz_app.projects.current import is_project
    from splatviz_app.scenes import first_head, open_scene, scene_for

    session = _new_session(arguments)
    model = arguments.model or first_head()
    if is_project(model):
        _open_project(session, Path(model))
    else:
        scene = scene_for(model)
        _run(open_scene(scene, session.library))
        session.document = replace(session.document, scene=scene)
    if arguments.tuning is not None:
        _tune(session, arguments.tuning, arguments.tuning_strength)
    request = session.request()
    assert request is not None, model
    if arguments.png is not None:
        options = export.PictureOptions(
            arguments.size, arguments.transparent, arguments.supersampling
        )
        note = session.project.note()
        work = export.save_picture(session.pipeline, request, arguments.png, options, note)
        print(_run(work).sentence)
    if arguments.ply is not None:
        note = session.project.note()
        work = export.save_head(session.pipeline, request, arguments.ply, arguments.profile, note)
        print(_run(work).sentence)


def _open_project(session: Session, path: Path) -> None:
    """Open a project, or what a picture was made from, without a window: nobody can be asked."""
    from renderer.errors import LoadError
    from splatviz_app.projects.loading import MissingModel, Source, load_project

    opened = _run(load_project(Source(path.absolute()), session.library))
    if isinstance(opened, MissingModel):
        raise LoadError(
            path, f"needs {opened.reference.name}. {opened.why} Put it beside the file."
        )
    session.project.show(opened)
    if session.scene is None:
        raise LoadError(path, "holds no head. Open another project.")
    if session.editing.waiting(session.edits):
        sentence = (
            "holds scripts that have not run here yet. Open it in the window and look at them."
        )
        raise LoadError(path, sentence)


def _tune(session: Session, path: Path, strength: float) -> None:
    """Add a tuning to the open generator."""
    from models.delta import Tuning, read_delta
    from renderer.errors import SplatheadError
    from splatviz_app.scenes import OpenedGenerator

    opened = session.opened
    if not isinstance(opened, OpenedGenerator):
        raise SplatheadError(
            f"{path.name} tunes a generator: name the one it was made with by --model."
        )
    session.tuning = Tuning(read_delta(path, opened.fingerprint), strength)


def _open_window(arguments: Arguments) -> None:
    """Open the window; without a display say so, and picture a head instead."""
    from splatviz_app.projects.current import is_photo
    from splatviz_app.scenes import first_head

    wants_window = arguments.screenshot is None
    try:
        from splatviz_app.window import WindowOptions, has_display, run_window
        from widgets import window_parts
    except ImportError as error:
        from renderer.errors import SplatheadError

        raise SplatheadError(
            f"The window's libraries do not load ({error}). Install libx11-6, libxext6, libegl1 and "
            "libgl1-mesa-dri, or use the commands without a window (python main.py --help)."
        ) from error
    if wants_window and not has_display():
        _explain_no_display(arguments)
        return
    session = _new_session(arguments)
    if arguments.model is not None and is_photo(arguments.model):
        session.open(first_head())  # a photo needs a generator to become a head
    session.open(arguments.model or first_head())
    if arguments.tuning is not None:
        session.inversion.open_delta(arguments.tuning, arguments.tuning_strength)
    options = WindowOptions(remember=not arguments.fresh, screenshot=arguments.screenshot)
    if wants_window and not arguments.fresh:
        from splatviz_app.autosave import Autosave

        session.project.begin_autosave(Autosave())
    run_window(session, window_parts(), options)
    session.project.end_autosave()  # not after an exception: then there is something to recover


def _explain_no_display(arguments: Arguments) -> None:
    """Say what is missing and do what can be done without it."""
    from dataclasses import replace

    print(
        "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), so no window can be "
        "opened.\nWithout one you can make pictures and heads; `python main.py --help` has examples:\n"
        "  python main.py --model MODEL --seed 3 --psi 0.7 --png out.png --ply out.ply\n"
        "  python main.py --screenshot window.png\n"
        "Drawing the head to out/ now."
    )
    folder = Path("out")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        from renderer.errors import SaveError

        sentence = f"cannot be created ({error.strerror}). Choose another place with --png."
        raise SaveError(folder, sentence) from error
    _make_files(replace(arguments, png=folder / "head.png"))


def _run(work: Work) -> Any:
    """Loop over a job in the terminal with a progress bar, and return its result."""
    from tqdm import tqdm

    # Into a file or a pipe goes each message once, without the bar.
    bar = tqdm(
        disable=not sys.stderr.isatty(), leave=False, bar_format="{desc} {bar} {percentage:.0f} %"
    )
    said = ""
    with bar:
        while True:
            try:
                step = next(work)
            except StopIteration as stop:
                return stop.value
            bar.total, bar.n = step.total, step.done
            bar.set_description_str(step.message)
            if bar.disable and step.message != said:
                said = step.message
                print(said, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
