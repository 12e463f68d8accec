"""A picked colour becomes amounts of the sliders that change it, measured on pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.latents import LatentSettings, Values
from renderer.camera import OrbitRig
from splatviz_app.color_match import match_color, sliders_of, with_wish
from splatviz_app.directions import Axis, ColorWish, Mark, Palette, amount_of, moved
from splatviz_app.pipeline import RenderRequest, ViewSettings
from splatviz_app.scenes import GanHead
from tests.steps import steps_and_result

PALETTE = Palette("a" * 64)
BASE = np.array([0.5, 0.4, 0.3])
SLOPES = {"own:0": np.array([0.12, 0.1, 0.08]), "own:1": np.array([0.05, 0.0, -0.05])}
AXES = {
    source: Axis(source, name, "Skin", Values.of(torch.eye(4)[i]), low=-2.0, high=2.0)
    for i, (source, name) in enumerate((("own:0", "Skin tone"), ("own:1", "Warm skin")))
} | {"own:2": Axis("own:2", "Smile", "Expression", Values.of(torch.eye(4)[2]))}


@dataclass
class Studio:
    """Draws a face of known colour on a shirt that no slider changes; takes note of requests."""

    requests: list

    def beside(self):
        return self

    def __call__(self, request):
        self.requests.append(request)
        image = np.full((96, 96, 4), 200, np.uint8)
        amounts = {source: amount_of(request.latent, source) for source in SLOPES}
        face = BASE + sum(amounts[source] * slope for source, slope in SLOPES.items())
        image[20:60, 30:60, :3] = np.round(255 * face.clip(0, 1))
        image[40:42, 40:50, :3] = (200, 0, 0)  # lips
        return SimpleNamespace(image=image)


def request(latent=None, **changes):
    latent = latent or LatentSettings(seed=3)
    plain = RenderRequest(GanHead("a"), latent, OrbitRig(yaw=0.7), ViewSettings(), (700, 500))
    return replace(plain, **changes)


def matched(color, latent=None, palette=PALETTE):
    studio = Studio([])
    steps = match_color(studio, request(latent), palette, AXES, ColorWish("Skin", color))
    reports, result = steps_and_result(steps)
    return result, studio.requests, reports


def face_at(*amounts):
    parts = [a * slope for a, slope in zip(amounts, SLOPES.values(), strict=True)]
    return tuple((BASE + sum(parts)).tolist())


def test_a_colour_that_the_sliders_can_make_is_made_by_their_amounts():
    found, _, reports = matched(face_at(1.2, -0.7))
    assert found.wish.sources == ("own:0", "own:1")
    np.testing.assert_allclose(found.wish.amounts, (1.2, -0.7), atol=0.08)  # bytes are coarse
    np.testing.assert_allclose(found.reached, face_at(1.2, -0.7), atol=0.005)
    assert found.weights == PALETTE.weights
    assert all(report.done < report.total for report in reports)
    assert [r.done for r in reports] == sorted(r.done for r in reports)


def test_a_colour_out_of_reach_is_approached_within_the_ranges():
    found, _, _ = matched((0.0, 1.0, 0.0))
    assert all(-2 <= amount <= 2 for amount in found.wish.amounts)
    missed = np.linalg.norm(np.array(found.reached) - (0, 1, 0))
    for other in ((0, 0), (2, 2), (2, -2), (-2, 2), (-2, -2), (1, 0)):
        assert missed <= np.linalg.norm(np.array(face_at(*other)) - (0, 1, 0)) + 0.01


def test_the_other_sliders_stay_where_they_are_and_the_picture_is_plain():
    latent = moved(LatentSettings(seed=3), PALETTE, AXES, {"own:2": 1.5, "own:0": 0.5})
    found, requests, _ = matched(face_at(-1.0, 0.3), latent)
    assert found.wish.before == (0.5, 0.0)
    assert all(amount_of(r.latent, "own:2") == 1.5 for r in requests)
    assert {(r.rig, r.view, r.size) for r in requests} == {(OrbitRig(), ViewSettings(), (96, 96))}
    np.testing.assert_allclose(found.wish.amounts, (-1.0, 0.3), atol=0.08)


def test_the_weight_says_how_far_the_sliders_go():
    wish = ColorWish("Skin", (0, 0, 0), 1.0, ("own:0", "own:1"), (0.5, 0.0), (1.5, -1.0))
    latent = moved(LatentSettings(), PALETTE, AXES, {"own:0": 0.7})
    for weight, amounts in ((0.0, (0.5, 0.0)), (0.5, (1.0, -0.5)), (1.0, (1.5, -1.0))):
        placed = with_wish(latent, PALETTE, AXES, replace(wish, weight=weight))
        assert tuple(amount_of(placed, s) for s in ("own:0", "own:1")) == pytest.approx(amounts)


def test_only_sliders_of_that_name_under_that_heading_count():
    assert [a.source for a in sliders_of("Skin", AXES)] == ["own:0", "own:1"]
    assert sliders_of("Hair", AXES) == ()
    elsewhere = {"own:0": replace(AXES["own:0"], group="Mine")}
    assert sliders_of("Skin", elsewhere) == ()


def test_blocks_and_locks_of_the_sliders_hold_as_ever():
    palette = PALETTE.marked(Mark("own:0", first=2))
    wish = ColorWish("Skin", (0, 0, 0), 1.0, ("own:0",), (0.0,), (1.0,))
    (push,) = with_wish(LatentSettings(), palette, AXES, wish).pushes
    assert push.first == 2
