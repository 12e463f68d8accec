"""From a request to a picture: each stage runs only when what it depends on has changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from models.generator import HeadGenerator
from models.latents import LatentSettings
from renderer.camera import OrbitRig
from renderer.errors import BackendError
from renderer.formats.ply import write_ply
from renderer.gaussians import Gaussians
from renderer.rasterize import ActiveSplats, default_backend, rasterize
from renderer.spherical_harmonics import rgb_to_dc
from renderer.tonemap import checker, to_bytes
from splatviz_app.pipeline import LastValue, Pipeline, RenderRequest, ViewSettings
from splatviz_app.scenes import (
    GanHead,
    Library,
    OpenedGenerator,
    OpenedPly,
    PlyHead,
    drawing_device,
    scene_for,
)
from tests.conftest import some_splats

W, H = 48, 32  # px
SCENE = PlyHead("head.ply")


def blob(color=(1.0, 0.0, 0.0), at=(0.0, 0.0, 0.0), size=0.08, opacity=0.98):
    """One round splat of one colour, a quarter of the picture high."""
    return Gaussians(
        means=torch.tensor([at]),
        log_scales=torch.full((1, 3), math.log(size)),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        opacity_logits=torch.tensor([opacity]).logit(),
        sh=rgb_to_dc(torch.tensor([[color]])),
    )


def showing(gaussians, **changes):
    """A pipeline that knows one head, and a request for it."""
    library = Library()
    library.add(SCENE, OpenedPly(gaussians.to(drawing_device())))
    request = RenderRequest(SCENE, None, OrbitRig(), ViewSettings(), (W, H))
    return Pipeline(library), replace(request, **changes)


def middle(image):
    return image[H // 2, W // 2].tolist()


# ---- the picture


def test_the_picture_has_the_size_that_was_asked_for_and_is_opaque():
    pipeline, request = showing(blob())

    result = pipeline(request)

    assert result.request is request
    assert result.image.shape == (H, W, 4)
    assert result.image.dtype == np.uint8
    assert result.depth.shape == (H, W)
    assert (result.image[..., 3] == 255).all()


def test_the_picture_is_that_of_the_rasterizer():
    rig, background = OrbitRig(yaw=0.4, pitch=0.2), (0.2, 0.4, 0.9)
    head = some_splats()
    pipeline, request = showing(head, rig=rig, view=ViewSettings(background=background))

    image = pipeline(request).image

    expected = rasterize(
        head.to(drawing_device()), rig.camera(), (W, H), background=torch.tensor(background)
    )
    np.testing.assert_array_equal(image[..., :3], to_bytes(expected.color))


def test_a_background_is_behind_the_head_and_not_before_it():
    pipeline, request = showing(blob(), view=ViewSettings(background=(0.0, 0.0, 1.0)))

    image = pipeline(request).image

    assert image[0, 0].tolist() == [0, 0, 255, 255]
    red, green, blue, _ = middle(image)
    assert red > 240
    assert green == 0
    assert blue < 10


def test_a_checker_shows_where_nothing_is():
    pipeline, request = showing(blob(), view=ViewSettings(checker=True))

    image = pipeline(request).image

    pattern = to_bytes(checker(W, H))
    np.testing.assert_array_equal(image[0, :, :3], pattern[0])
    np.testing.assert_array_equal(image[-1, :, :3], pattern[-1])
    assert middle(image)[0] > 240


def test_the_alpha_mode_shows_coverage_through_the_colour_map():
    view = ViewSettings(mode="alpha", colormap="gray", background=(1.0, 0.0, 1.0))
    pipeline, request = showing(blob(color=(0.1, 0.9, 0.3)), view=view)

    plain = pipeline(request).image
    inverted = pipeline(replace(request, view=replace(view, invert=True))).image

    assert plain[0, 0].tolist() == [0, 0, 0, 255]  # the background does not shine through
    assert min(middle(plain)[:3]) > 240
    assert inverted[0, 0].tolist() == [255, 255, 255, 255]


def test_the_depth_mode_shows_what_is_near_as_zero_and_nothing_as_one():
    near, far = blob(at=(-0.15, 0.0, 0.3)), blob(at=(0.15, 0.0, -0.3))
    both = Gaussians(
        *(torch.cat([getattr(near, n), getattr(far, n)]) for n in
          ("means", "log_scales", "quats", "opacity_logits", "sh"))
    )  # fmt: skip
    pipeline, request = showing(both, view=ViewSettings(mode="depth", colormap="gray"))

    result = pipeline(request)

    left, right = result.image[H // 2, W // 4, 0], result.image[H // 2, 3 * W // 4, 0]
    assert left < 10
    assert right > 245
    assert result.image[0, 0, 0] == 255


def test_depth_is_the_distance_along_z_where_there_is_a_head():
    pipeline, request = showing(blob(at=(0.0, 0.0, 0.4)))

    depth = pipeline(request).depth

    assert depth.dtype == np.float32
    assert depth[H // 2, W // 2] == pytest.approx(2.3, abs=1e-3)
    assert np.isnan(depth[0, 0])


def test_a_larger_splat_scale_makes_larger_splats_and_going_back_restores_them():
    pipeline, request = showing(blob())
    larger = replace(request, view=ViewSettings(splat_scale=2.0))

    def covered(request):
        return int((pipeline(request).image[..., 1] < 128).sum())

    once, twice, again = covered(request), covered(larger), covered(request)

    # Standard deviations count, so the area grows about fourfold; the edge of the picture cuts some.
    assert 2.5 * once < twice
    assert once == again


def test_splat_scale_does_not_change_the_head_itself():
    head = blob()
    pipeline, request = showing(head, view=ViewSettings(splat_scale=3.0))

    pipeline(request)

    assert torch.equal(pipeline.gaussians(request).log_scales.cpu(), blob().log_scales)


# ---- what is known about it


def test_the_summary_counts_splats_and_finds_the_box():
    pipeline, request = showing(some_splats(count=1000, bases=4))

    summary = pipeline(request).summary

    assert (summary.splats, summary.dropped, summary.sh_degree) == (1000, 0, 1)
    means = some_splats(count=1000, bases=4).means
    # All but half a percent at each end of each axis.
    for axis in range(3):
        inside = (means[:, axis] >= summary.low[axis]) & (means[:, axis] <= summary.high[axis])
        assert 985 <= int(inside.sum()) <= 995


def test_rows_that_are_not_numbers_are_left_out_and_counted():
    head = some_splats()
    head.means[2, 1], head.sh[4, 0, 2], head.quats[6] = math.nan, math.inf, 0.0
    pipeline, request = showing(head)

    result = pipeline(request)

    assert (result.summary.splats, result.summary.dropped) == (7, 3)
    assert all(math.isfinite(v) for v in (*result.summary.low, *result.summary.high))
    clean = showing(head.select(torch.tensor([True, True, False, True, False, True, False])))
    np.testing.assert_array_equal(result.image, clean[0](clean[1]).image)


def test_dropped_rows_are_counted_once_however_often_it_is_drawn():
    head = some_splats()
    head.means[2] = math.nan
    pipeline, request = showing(head)

    counts = [
        pipeline(replace(request, rig=OrbitRig(yaw=yaw))).summary.dropped for yaw in (0.0, 0.1, 0.2)
    ]

    assert counts == [1, 1, 1]


@pytest.mark.parametrize("mode", ["color", "alpha", "depth"])
def test_no_splats_at_all_are_a_picture_of_the_background(mode):
    none = blob().select(torch.tensor([False]))
    view = ViewSettings(mode=mode, background=(0.0, 1.0, 0.0), colormap="gray")
    pipeline, request = showing(none, view=view)

    result = pipeline(request)

    expected = {"color": [0, 255, 0], "alpha": [0, 0, 0], "depth": [255, 255, 255]}[mode]
    assert (result.image[..., :3] == expected).all()
    assert np.isnan(result.depth).all()
    assert result.summary.splats == 0


def test_only_broken_splats_are_a_picture_of_the_background_too():
    head = blob()
    head.means[0] = math.nan
    pipeline, request = showing(head)

    result = pipeline(request)

    assert (result.image == 255).all()
    assert result.summary.dropped == 1


def test_the_backend_that_drew_is_named():
    pipeline, request = showing(blob())

    assert pipeline(request).backend == default_backend(drawing_device())
    assert pipeline(replace(request, backend="torch")).backend == "torch"


# ---- each stage once


@dataclass(eq=False)
class CountingGenerator:
    """A family of heads of one splat, at the place that the first three numbers of w say."""

    z_dim: int = 4
    w_dim: int = 4
    num_ws: int = 1
    conditions_on_camera: bool = False
    w_avg: torch.Tensor = field(default_factory=lambda: torch.zeros(4))
    calls: list[str] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    def prepared(self, precision="float32"):
        self.calls.append(f"prepare {precision}")
        return self

    def map(self, z, camera=None):
        self.calls.append(f"map {len(z)}")
        return z[:, None] * 0.05

    def synthesize(self, w):
        self.calls.append("synthesize")
        if self.trouble:
            raise self.trouble.pop()
        return blob(at=tuple(w[0, 0, :3].tolist())).map(lambda tensor: tensor[None])


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a checkpoint gives, as far as the pipeline looks at it."""

    generator: HeadGenerator
    summary: None = None


GAN = GanHead("small.pkl")


def generating():
    """A pipeline that knows one generator, a request for it, and the generator's diary."""
    generator, library = CountingGenerator(), Library()
    library.add(GAN, OpenedGenerator(Loaded(generator)))
    pipeline, request = showing(blob(), scene=GAN, latent=LatentSettings(seed=3))
    pipeline._library.add(GAN, library[GAN])
    return pipeline, request, generator


def test_a_camera_move_neither_reloads_nor_synthesises():
    pipeline, request, generator = generating()
    first = pipeline(request)
    generator.calls.clear()

    second = pipeline(replace(request, rig=OrbitRig(yaw=0.3)))

    assert generator.calls == []
    assert not np.array_equal(first.image, second.image)
    assert set(second.seconds) == {"rasterize", "compose"}


@pytest.mark.parametrize(
    "change",
    [
        {"view": ViewSettings(mode="depth")},
        {"view": ViewSettings(background=(0.0, 0.0, 0.0))},
        {"view": ViewSettings(splat_scale=2.0)},
        {"size": (20, 30)},
    ],
)
def test_another_view_does_not_synthesise_again(change):
    pipeline, request, generator = generating()
    pipeline(request)
    generator.calls.clear()

    pipeline(replace(request, **change))

    assert generator.calls == []


def test_a_new_place_synthesises_but_does_not_map_or_prepare_again():
    pipeline, request, generator = generating()
    pipeline(request)
    generator.calls.clear()

    result = pipeline(replace(request, latent=LatentSettings(seed=3, x=0.4, y=-0.2)))

    assert generator.calls == ["synthesize"]
    assert {"synthesize", "activate"} <= set(result.seconds)


def test_a_new_seed_maps_a_new_plane_once():
    pipeline, request, generator = generating()
    pipeline(request)
    generator.calls.clear()

    pipeline(replace(request, latent=LatentSettings(seed=4)))
    pipeline(replace(request, latent=LatentSettings(seed=4, x=0.1)))

    assert generator.calls == ["map 100", "synthesize", "synthesize"]


def test_changing_between_exact_and_fast_prepares_each_once():
    pipeline, request, generator = generating()

    for place in range(6):
        latent = LatentSettings(seed=3, x=place / 10, space="Z")
        pipeline(replace(request, latent=latent, precision=("fast", "float32")[place % 2]))

    prepared = [call for call in generator.calls if call.startswith("prepare")]
    assert sorted(prepared) == ["prepare fast", "prepare float32"]


def test_times_are_told_for_the_stages_that_ran():
    pipeline, request, _ = generating()

    first, second = pipeline(request), pipeline(request)

    assert set(first.seconds) == {"synthesize", "activate", "rasterize", "compose"}
    assert set(second.seconds) == {"rasterize", "compose"}
    assert all(seconds > 0 for seconds in first.seconds.values())


def test_a_stage_that_failed_is_tried_again():
    pipeline, request, generator = generating()
    generator.trouble.append(RuntimeError("out of memory"))

    with pytest.raises(RuntimeError, match="out of memory"):
        pipeline(request)
    result = pipeline(request)

    assert result.image.shape == (H, W, 4)
    assert generator.calls.count("synthesize") == 2


def test_after_a_failure_the_old_head_is_not_shown_under_the_new_name():
    pipeline, request, generator = generating()
    before = pipeline(request).image
    elsewhere = replace(request, latent=LatentSettings(seed=3, x=0.9, y=0.9))
    generator.trouble.append(RuntimeError("no"))

    with pytest.raises(RuntimeError, match="no"):
        pipeline(elsewhere)

    assert not np.array_equal(pipeline(elsewhere).image, before)
    np.testing.assert_array_equal(pipeline(request).image, before)


def test_the_same_request_is_the_same_picture_to_the_bit(generator_file):
    request = RenderRequest(
        scene_for(generator_file), LatentSettings(seed=5, x=0.3, y=0.1), OrbitRig(yaw=0.2),
        ViewSettings(), (W, H),
    )  # fmt: skip

    first, second = (Pipeline(Library())(request).image for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_a_head_that_is_not_open_yet_is_opened(head_ply):
    request = RenderRequest(scene_for(head_ply), None, OrbitRig(), ViewSettings(), (W, H))

    assert Pipeline(Library())(request).summary.splats == 7


def test_a_file_that_was_saved_anew_is_shown_anew(tmp_path):
    path = tmp_path / "head.ply"
    pipeline = Pipeline(Library())

    def shown():
        scene = scene_for(path)
        return pipeline(RenderRequest(scene, None, OrbitRig(), ViewSettings(), (W, H)))

    write_ply(path, blob((1.0, 0.0, 0.0)))
    red = shown()
    write_ply(path, blob((0.0, 0.0, 1.0)))
    blue = shown()

    assert middle(red.image)[0] > middle(red.image)[2]
    assert middle(blue.image)[2] > middle(blue.image)[0]


def test_a_backend_that_cannot_run_here_is_a_sentence():
    if torch.cuda.is_available():
        pytest.skip("it can run here")
    pipeline, request = showing(blob(), backend="gsplat")

    with pytest.raises(BackendError, match="choose the cpu rasterizer"):
        pipeline(request)


def test_equal_requests_are_equal_and_hashable():
    _, request = showing(blob())

    assert replace(request) == request
    assert hash(replace(request)) == hash(request)
    assert replace(request, rig=OrbitRig(yaw=1e-9)) != request


# ---- LastValue


def test_a_value_is_computed_once_per_key():
    calls = []
    stage = LastValue(lambda *key: calls.append(key) or sum(key))

    assert [stage(1, 2), stage(1, 2), stage(2, 2), stage(1, 2)] == [3, 3, 4, 3]
    assert calls == [(1, 2), (2, 2), (1, 2)]


def test_a_stage_without_a_key_is_computed_too():
    stage = LastValue(lambda: "value")

    assert stage() == "value"


# ---- devices, and what may be done with what was made


def test_what_the_pipeline_opens_and_makes_may_be_trained_and_edited(generator_file):
    library = Library()
    scene = scene_for(generator_file)
    request = RenderRequest(scene, LatentSettings(), OrbitRig(), ViewSettings(), (W, H))
    pipeline = Pipeline(library)

    pipeline(request)  # opens it as undo does

    opened = library.find(scene)
    assert isinstance(opened, OpenedGenerator)
    assert not any(p.is_inference() for p in opened.loaded.generator.state_dict().values())
    head = pipeline.gaussians(request)
    leaf = torch.ones(1, requires_grad=True)
    rasterize(
        head.map(lambda tensor: tensor * leaf), OrbitRig().camera(), (W, H)
    ).color.sum().backward()
    assert leaf.grad is not None


def test_the_head_is_moved_to_where_the_rasterizer_draws(monkeypatch):
    pipeline, request = showing(some_splats())
    moved = []
    monkeypatch.setattr(ActiveSplats, "to", lambda active, device: moved.append(device) or active)

    pipeline.active(replace(request, backend="cpu"))

    assert moved == [torch.device("cpu")]  # also where heads are made on a GPU
