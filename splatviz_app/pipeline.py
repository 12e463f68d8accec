"""A request to a picture: head, splats, edits, activation, rasterization, bytes.

Each stage remembers the key of its last result, so moving the camera repeats only the last two, an edit
the last four, and a new latent all but the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Literal, TypeVar, get_args

import numpy as np
import torch

from models.delta import Tuning, with_delta
from models.generator import CgsGenerator, HeadGenerator
from models.latents import LatentPlane, LatentSettings, base_z, latent_to_w, refuse_foreign
from renderer.camera import OrbitRig, Vector
from renderer.gaussians import Gaussians
from renderer.rasterize import (
    ActiveSplats,
    BackendName,
    Rendered,
    activate,
    default_backend,
    device_of,
    rasterize,
)
from renderer.tonemap import Mode, false_color, normalized_depth, over_checker, to_bytes
from splatviz_app.edits.apply import apply_edits
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.stack import NO_EDITS, EditStack
from splatviz_app.edits.values import EditContext
from splatviz_app.scenes import Library, OpenedGenerator, Scene, drawing_device
from splatviz_app.selection import Selection, selected_rows, tinted
from splatviz_app.tuned import (
    AnyTuning,
    LiveNetworks,
    LiveTuning,
    what_counts,
)

Color = tuple[float, float, float]
Precision = Literal["float32", "fast"]
T = TypeVar("T")
_HeadKey = tuple[Scene, LatentSettings | None, Precision, AnyTuning | None]


@dataclass(frozen=True)
class ViewSettings:
    """How a head is shown."""

    # Colour, coverage (alpha) or distance (depth).
    mode: Mode = "color"
    # Show a checker behind the head instead of a colour.
    checker: bool = False
    # Colour behind the head, RGB in [0, 1].
    background: Color = (1.0, 1.0, 1.0)
    # For alpha and depth.
    colormap: str = "turbo"
    # Run the colour map from its other end.
    invert: bool = False
    # Makes every splat larger or smaller, as a factor.
    splat_scale: float = 1.0
    # Height of the picture in px; 0 follows the window.
    resolution: int = 0
    # Tint the selected splats; never in what is saved.
    highlight: bool = True


@dataclass(frozen=True)
class RenderRequest:
    """All a picture depends on; equal requests are equal pictures."""

    scene: Scene
    latent: LatentSettings | None  # None for a scene without a generator
    rig: OrbitRig
    view: ViewSettings
    size: tuple[int, int]  # width, height in px
    precision: Precision = "float32"
    backend: BackendName | None = None  # None for the fastest
    edits: EditStack = NO_EDITS  # only what shows: `EditStack.effective`
    time: float = 0.0  # seconds, of what moves by itself; 0 where nothing does
    selection: Selection | None = None  # tinted in the picture; scripts may read it
    tuning: AnyTuning | None = None  # what is added to the generator's weights


@dataclass(frozen=True)
class SceneSummary:
    """What panels may show of the splats."""

    splats: int
    dropped: int  # rows that are not numbers and cannot be drawn
    sh_degree: int
    low: Vector  # corners of the box that holds 99 % of the splats, world units
    high: Vector


@dataclass(frozen=True, eq=False)
class RenderResult:
    """A picture and what is known about it."""

    request: RenderRequest
    image: np.ndarray  # [H, W, 4] uint8, opaque
    depth: np.ndarray  # [H, W] float32, world units along z; NaN where there is no head
    summary: SceneSummary
    backend: BackendName
    seconds: dict[str, float]  # per stage; a stage that was kept is absent
    # What was drawn and what came of it, for questions about the picture; nobody writes to them.
    splats: EditedSplats
    rendered: Rendered


class LastValue(Generic[T]):
    """Remembers what a stage computed for the last key it was given."""

    def __init__(self, compute: Callable[..., T]) -> None:
        """Wrap the computation of a stage."""
        self._compute = compute
        self._key: tuple[Hashable, ...] | None = None
        self._value: T
        self.seconds = 0.0  # spent since it was last set to 0

    def __call__(self, *key: Hashable) -> T:
        """The value for `key`, computed only if the key is new."""
        begin = time.perf_counter()
        if key != self._key:
            self._key = None  # a failed stage is tried again
            self._value = self._compute(*key)
            self._key = key
            self.seconds += time.perf_counter() - begin
        return self._value


@dataclass(frozen=True, eq=False)
class _Activation:
    """A head, and what it became; edits that only colour it need not repeat the rest."""

    gaussians: Gaussians
    splat_scale: float
    device: torch.device
    active: ActiveSplats
    summary: SceneSummary

    def recolored(
        self, gaussians: Gaussians, splat_scale: float, device: torch.device
    ) -> tuple[ActiveSplats, SceneSummary] | None:
        """The same splats in other colours; None if anything else may differ, or a row is left out."""
        old, sh = self.gaussians, gaussians.sh
        # Edits copy what they write to, so a tensor that is the same object holds the same numbers.
        is_same = (
            (splat_scale, device, self.active.dropped) == (self.splat_scale, self.device, 0)
            and gaussians.means is old.means
            and gaussians.log_scales is old.log_scales
            and gaussians.quats is old.quats
            and gaussians.opacity_logits is old.opacity_logits
        )
        if not is_same or not bool(sh.sum().isfinite()):
            return None
        active = replace(self.active, sh=sh.to(device, torch.float32))
        return active, replace(self.summary, sh_degree=gaussians.sh_degree)


class Pipeline:
    """The stages in order. Called from one thread at a time."""

    def __init__(self, library: Library) -> None:
        """Draw heads of `library`, opening what is missing there."""
        self._library = library
        # One each: a drag goes to and fro between them, and preparing copies all weights.
        self._networks = {
            precision: LastValue(self._prepare_network) for precision in get_args(Precision)
        }
        self.live = LiveNetworks()  # what is being tuned
        self._plane = LastValue(self._map_plane)
        self._splats = LastValue(self._make_splats)
        self._edited = LastValue(self._edit)
        self._refused: tuple[tuple[Hashable, ...], EditError] | None = None  # key of a failed edit
        self._active = LastValue(self._activate)
        self._activation: _Activation | None = None  # the newest
        self._highlighted = LastValue(_highlight)
        self.scripts = ScriptRunner()

    def warm_up(self) -> None:
        """Load what the first picture needs, where that is a matter of moments.

        For before a window shows its first frame: imports would stop it later.
        """
        if default_backend(drawing_device()) == "cpu":
            from renderer import cpu_backend

            if cpu_backend.is_compiled():
                cpu_backend.warm_up(gradients=False)

    def __call__(self, request: RenderRequest) -> RenderResult:
        """Draw.

        Raises:
            SplatheadError: The head cannot be opened, made or drawn; the sentence says why.
        """
        stages: dict[str, LastValue] = {"synthesize": self._splats, "activate": self._active}
        if request.edits.edits:
            stages["edit"] = self._edited
        for stage in stages.values():
            stage.seconds = 0.0
        active, summary = self.active(request)
        splats = self.edited(request)
        if request.selection is not None and request.view.highlight:
            active = self._highlighted(active, splats, request.selection)
        begin = time.perf_counter()
        rendered = self.draw(request, active)
        drawn = time.perf_counter()
        image = compose(rendered, request.view)
        depth = torch.where(rendered.alpha > 0.5, rendered.expected_depth, torch.nan)
        opaque = torch.ones_like(image[:1])
        pixels = to_bytes(torch.cat([image, opaque]))
        seconds = {"rasterize": drawn - begin, "compose": time.perf_counter() - drawn}
        seconds |= {name: stage.seconds for name, stage in stages.items() if stage.seconds}
        return RenderResult(
            request=request,
            image=pixels,
            depth=depth.cpu().numpy(),
            summary=summary,
            backend=_backend(request),
            seconds=seconds,
            splats=splats,
            rendered=rendered,
        )

    def gaussians(self, request: RenderRequest) -> Gaussians:
        """The head itself, before edits and activation."""
        return self._splats(*_head_key(request))

    def edited(self, request: RenderRequest) -> EditedSplats:
        """The head after its edits, before activation: what is saved.

        Raises:
            EditError: An edit cannot be applied. It is not tried again until something changes.
        """
        key = _edit_key(request)
        if self._refused is not None and self._refused[0] == key:
            raise self._refused[1]
        self.gaussians(request)
        try:
            return self._edited(*key)
        except EditError as error:
            self._refused = (key, error)
            raise

    def try_again(self) -> None:
        """Apply an edit that failed once more with the next request."""
        self._refused = None

    @torch.no_grad()
    def w(self, request: RenderRequest) -> torch.Tensor:
        """The w of the head of a generator. [1, num_ws or blocks, W]

        Raises:
            ForeignLatent: The request's latent belongs to another generator.
        """
        assert request.latent is not None, request.scene
        return self._w(request.scene, request.latent)

    @torch.no_grad()
    def z(self, request: RenderRequest) -> torch.Tensor | None:
        """The z from which alone a head is made; None where something in W is part of it. [1, Z]

        Raises:
            ForeignLatent: The request's latent belongs to another generator.
        """
        latent = request.latent
        assert latent is not None, request.scene
        changed_in_w = latent.kept is not None or latent.mix is not None or latent.pushes
        if changed_in_w or (latent.z is None and latent.space == "W"):
            return None
        self.w(request)  # it refuses what is of another generator
        return base_z(self._plane(request.scene, latent.seed), latent)

    def network(self, scene: Scene) -> HeadGenerator:
        """The generator of a scene, prepared and exact, without tuning: for its latent space."""
        return self._network(scene, "float32", None)

    def beside(self) -> Pipeline:
        """Another pipeline over the same networks, for the same thread.

        What it draws leaves this one's stages as they are: small pictures beside the large one.
        """
        other = Pipeline(self._library)
        other._networks = self._networks
        other.live = self.live
        other.scripts = self.scripts
        return other

    def active(self, request: RenderRequest) -> tuple[ActiveSplats, SceneSummary]:
        """The head after activation, at the view's splat scale."""
        self.edited(request)
        return self._active(
            _edit_key(request),
            request.view.splat_scale,
            device_of(_backend(request), drawing_device()),
        )

    @torch.no_grad()
    def draw(
        self, request: RenderRequest, active: ActiveSplats, transparent: bool = False
    ) -> Rendered:
        """Rasterize over the view's background, or over black for what is composed later."""
        view = request.view
        plain = view.mode == "color" and not view.checker and not transparent
        background = torch.tensor(view.background) if plain else torch.zeros(3)
        return rasterize(
            active,
            request.rig.camera(),
            request.size,
            background=background,
            backend=_backend(request),
        )

    # Tuning leaves the mapping and w_avg as they are, so latents mean the same with any strength of it.
    @torch.no_grad()
    def _prepare_network(
        self, scene: Scene, precision: Precision, tuning: Tuning | None
    ) -> HeadGenerator:
        opened = self._library[scene]
        assert isinstance(opened, OpenedGenerator), scene
        generator = opened.loaded.generator
        if tuning is not None:
            assert isinstance(generator, CgsGenerator), type(generator)  # it has the delta's hash
            generator = with_delta(
                generator, tuning.delta, tuning.strength, weights=opened.fingerprint
            )
        return generator.prepared(precision)

    def _network(
        self, scene: Scene, precision: Precision, tuning: AnyTuning | None
    ) -> HeadGenerator:
        if isinstance(tuning, LiveTuning):  # as it is: it changes with every step
            return self.live[tuning.token]
        return self._networks[precision](scene, precision, tuning)

    def _map_plane(self, scene: Scene, seed: int) -> LatentPlane:
        opened = self._library[scene]
        assert isinstance(opened, OpenedGenerator), scene
        # Always mapped exactly, so that the fast mode shows the same head, only less precisely.
        return LatentPlane(opened.loaded.generator, seed)

    # Not inference_mode: whatever is opened or made in it could never be trained or edited.
    @torch.no_grad()
    def _make_splats(
        self,
        scene: Scene,
        latent: LatentSettings | None,
        precision: Precision,
        tuning: AnyTuning | None,
    ) -> Gaussians:
        opened = self._library[scene]
        if not isinstance(opened, OpenedGenerator):
            return opened.gaussians
        assert latent is not None, scene
        w = self._w(scene, latent)  # [1, num_ws or blocks, W]
        return self._network(scene, precision, tuning).synthesize(w)[0]

    def _w(self, scene: Scene, latent: LatentSettings) -> torch.Tensor:
        opened = self._library[scene]
        assert isinstance(opened, OpenedGenerator), scene
        if latent.is_bound:
            refuse_foreign(latent, opened.fingerprint)
        return latent_to_w(self._plane(scene, latent.seed), latent)

    def _edit(
        self,
        head: _HeadKey,
        edits: EditStack,
        time: float,
        seen: tuple[OrbitRig | None, Selection | None],
    ) -> EditedSplats:
        rig, selection = seen
        gaussians = self._splats(*head)
        context = EditContext(
            self.scripts,
            (rig or OrbitRig()).camera(),
            time,
            edits.slider_values(time),
            partial(selected_rows, selection),
        )
        return apply_edits(gaussians, self._level_sizes(head[0], gaussians), edits, context)

    def _level_sizes(self, scene: Scene, gaussians: Gaussians) -> tuple[int, ...]:
        """How many splats each level of the generator makes; one level for a head from a file."""
        opened = self._library[scene]
        if isinstance(opened, OpenedGenerator):
            generator = opened.loaded.generator
            if isinstance(generator, CgsGenerator) and generator.config.splats == gaussians.count:
                return generator.config.level_sizes
        return (gaussians.count,)

    @torch.no_grad()
    def _activate(
        self, edit_key: tuple[Hashable, ...], splat_scale: float, device: torch.device
    ) -> tuple[ActiveSplats, SceneSummary]:
        gaussians = self._edited(*edit_key).gaussians
        kept = self._activation
        made = kept.recolored(gaussians, splat_scale, device) if kept is not None else None
        if made is None:
            active = activate(gaussians).to(device)
            if splat_scale != 1:
                active.scales.mul_(splat_scale)
            low, high = _bounds(active.means)
            summary = SceneSummary(
                splats=gaussians.count,
                dropped=active.dropped,
                sh_degree=gaussians.sh_degree,
                low=low,
                high=high,
            )
            made = active, summary
        self._activation = _Activation(gaussians, splat_scale, device, *made)
        return made


def compose(rendered: Rendered, view: ViewSettings) -> torch.Tensor:
    """Turn what was rasterized into the picture of the view's mode. [3, H, W]"""
    if view.mode == "alpha":
        return false_color(rendered.alpha, view.colormap, view.invert)
    if view.mode == "depth":
        return false_color(normalized_depth(rendered), view.colormap, view.invert)
    return over_checker(rendered) if view.checker else rendered.color


def _head_key(request: RenderRequest) -> _HeadKey:
    """All that the head depends on before its edits."""
    return (request.scene, request.latent, request.precision, what_counts(request.tuning))


def _edit_key(request: RenderRequest) -> tuple[Hashable, ...]:
    """All that the edited head depends on: the camera and the selection only where a script looks at them."""
    edits = request.edits
    seen = (
        request.rig if edits.uses_camera else None,
        request.selection if edits.uses_selection else None,
    )
    return (_head_key(request), edits, request.time, seen)


def _highlight(active: ActiveSplats, splats: EditedSplats, selection: Selection) -> ActiveSplats:
    """Tint the selected splats."""
    rows = selected_rows(selection, splats)
    if active.dropped:
        rows = rows[splats.gaussians.to(dtype=torch.float32).finite()]
    return tinted(active, rows.to(active.means.device)) if bool(rows.any()) else active


def _backend(request: RenderRequest) -> BackendName:
    """The rasterizer that draws a request."""
    return request.backend or default_backend(drawing_device())


def _bounds(means: torch.Tensor) -> tuple[Vector, Vector]:
    """Corners of the box around the middle 99 % on each axis: a few stray splats do not count."""
    if len(means) == 0:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    some = means[:: max(1, len(means) // 20_000)].cpu().numpy()
    # NumPy looks for the two; torch would sort all, 4 ms of every edit.
    low, high = np.quantile(some, [0.005, 0.995], axis=0).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
