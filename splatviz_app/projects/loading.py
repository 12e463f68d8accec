"""Opening a project, as a job: read it, find its model, make sure it is the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.delta import SUFFIX, WeightDelta, read_delta
from renderer.errors import LoadError, SplatheadError
from splatviz_app.engine import Progress, Step
from splatviz_app.projects.content import Content, ModelReference, located, places, tunings_of
from splatviz_app.projects.files import NOTE_SUFFIXES, read_note, read_project
from splatviz_app.scenes import BUILT_IN, GanHead, Library, Scene, open_scene, scene_for
from splatviz_app.tuned import digest_of

_MOST_BESIDE = 50  # files of tunings that are looked at


@dataclass(frozen=True)
class Source:
    """What is to be opened."""

    path: Path
    # Whether it is an autosave, which is kept for whoever's work it holds.
    is_recovery: bool = False
    # Where the user found the model; None to look for it.
    model: Path | None = None

    @property
    def is_note(self) -> bool:
        """Whether it is a picture or a head that says how it was made, and no project."""
        return self.path.suffix.lower() in NOTE_SUFFIXES


@dataclass(frozen=True)
class OpenedProject:
    """The result of `load_project`: its scene is known to the library."""

    source: Source
    # Its scene is where it was found.
    content: Content
    # What the user should know, or nothing.
    remark: str = ""
    # What a picture was tuned by, if a file beside it holds that.
    delta: WeightDelta | None = None


@dataclass(frozen=True)
class MissingModel:
    """The result of `load_project` if the user must say where the model is."""

    source: Source
    reference: ModelReference
    # Why it could not be found, or why what was chosen is not it.
    why: str


def load_project(
    source: Source, library: Library, recent: Sequence[str] = ()
) -> Generator[Progress, None, OpenedProject | MissingModel]:
    """Read a project and open its model.

    Args:
        source: The file.
        library: Where the model goes once it is open.
        recent: Files that were opened lately: the model may be one of them.

    Raises:
        LoadError: The project is damaged, of a later version, or its model cannot be read.
    """
    yield Step(0, 0, f"Reading {source.path.name}")
    content = read_note(source.path) if source.is_note else read_project(source.path)
    scene, reference = content.document.scene, content.model
    if scene is None or reference is None:
        return OpenedProject(source, content)
    changed: Scene | None = None
    why = f"{reference.name} is not where it was."
    for path in _candidates(source, content, scene, reference, library, recent):
        try:
            found = located(scene, path, scene_for(path).changed)
            if type(found) is not type(scene_for(path)):
                raise LoadError(path, f"is another kind of file than {reference.name}.")
            if library.find(found) is None:
                yield from open_scene(found, library, show=False)
        except LoadError as error:
            why = str(error)
            continue
        opened = library.find(found)
        assert opened is not None
        if reference.fingerprint in ("", opened.fingerprint):
            return _opened(source, content, found)
        why = f"{path} is another {_kind(scene)} than the one it was made with."
        if not isinstance(scene, GanHead):
            changed = changed or found
    if changed is not None:
        # Splats are no code: what they became is shown, with a word about it.
        name = Path(changed.path).name
        remark = f"{name} has changed since {source.path.name} was saved; it is shown as it is now."
        return replace(_opened(source, content, changed), remark=remark)
    return MissingModel(source, reference, why)


def _candidates(
    source: Source,
    content: Content,
    scene: Scene,
    reference: ModelReference,
    library: Library,
    recent: Sequence[str],
) -> Iterator[Path]:
    """Files that exist and may be the model, the surest first."""
    if source.model is not None:
        yield source.model
        return
    beside = Path(content.origin) if source.is_recovery and content.origin else source.path
    known = [s for s in library.scenes() if type(s) is type(scene) and reference.fingerprint]
    same = [Path(s.path) for s in known if _fingerprint(library, s) == reference.fingerprint]
    # What comes with the program lies elsewhere on another machine.
    at_hand = (*map(Path, recent), *BUILT_IN.values())
    named = [path for path in at_hand if path.name == reference.name]
    folder = beside.absolute().parent
    for path in dict.fromkeys([*same, *places(reference, folder), *named]):
        if path.is_file():
            yield path


def _fingerprint(library: Library, scene: Scene) -> str:
    opened = library.find(scene)
    return opened.fingerprint if opened is not None else ""


def _opened(source: Source, content: Content, scene: Scene) -> OpenedProject:
    document = replace(content.document, scene=scene)
    delta = None
    if content.tuning is not None:
        delta = _delta_beside(source.path, content.tuning.digest)
    for tuning in tunings_of(document):
        digest_of(tuning.delta.content)  # here and now, where nobody waits for a frame
    return OpenedProject(source, replace(content, document=document), delta=delta)


def _delta_beside(path: Path, digest: str) -> WeightDelta | None:
    """Find a tuning among the files beside a picture, by what it holds."""
    try:
        beside = sorted(path.parent.glob(f"*{SUFFIX}"))[:_MOST_BESIDE]
    except OSError:
        return None
    for file in beside:
        try:
            delta = read_delta(file)
        except SplatheadError:
            continue
        if digest_of(delta.content) == digest:
            return delta
    return None


def _kind(scene: Scene) -> str:
    return "generator" if isinstance(scene, GanHead) else "head"
