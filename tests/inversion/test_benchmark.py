"""What `benchmarks.inversion` measures with: its PSNR, its camera error, its file of outcomes."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.inversion import _append, _read, tell
from benchmarks.inversion_heads import Method, Outcome, apart, into_photo, look, subject
from benchmarks.plain_inversion import structural
from inversion.alignment import Alignment
from inversion.crop import from_crop
from inversion.perceptual import StructuralDistance
from inversion.settings import ProjectorSettings
from renderer.camera import OrbitRig
from renderer.errors import LoadError
from tests.conftest import some_splats

CAMERA = OrbitRig(yaw=0.3, pitch=-0.1).camera()


def test_psnr_is_of_covered_pixels_before_white():
    head = some_splats(40).map(lambda tensor: tensor[None])
    view = look(head, CAMERA, 32)
    covered = view.alpha > 0.5
    error = torch.zeros(3, 32, 32)
    error[:, covered] = 0.05
    error[:, ~covered] = 0.9  # must not count

    off = replace(view, color=view.color + error)

    # 0.05 in all of what counts is 26.02 dB, but where the colours leave [0, 1].
    assert 20 < view.alpha.sum() < 32 * 32 - 20
    assert view.psnr(head) > 90
    assert off.psnr(head) == pytest.approx(-20 * math.log10(0.05), abs=1.5)


def test_what_a_view_weighs_nothing_does_not_count():
    head = some_splats(40).map(lambda tensor: tensor[None])
    view = look(head, CAMERA, 32)
    weight = torch.ones(32, 32)
    weight[:, 16:] = 0
    spoilt = view.color.clone()
    spoilt[:, :, 16:] += 0.5

    assert replace(view, color=spoilt, weight=weight).psnr(head) > 90
    assert replace(view, color=spoilt).psnr(head) < 40


def test_a_view_over_white_is_its_target_over_white():
    head = some_splats(40).map(lambda tensor: tensor[None] * 0.2)
    view = look(head, CAMERA, 24)

    target = view.target("one", torch.zeros(5, 2))

    over = target.alpha * target.color + 1 - target.alpha
    there = view.alpha > 0.01  # below, colours are not what is left after rounding
    wanted = (view.color + 1 - view.alpha)[:, there]
    seen = view.color[:, there] <= view.alpha[there]  # colours above 1 are clipped
    torch.testing.assert_close(over[:, there][seen], wanted[seen], atol=1e-5, rtol=0)


def test_a_camera_is_judged_in_the_photo_not_in_the_turned_crop():
    found = Alignment((0.0, 0.0), 1.0, angle=0.0, yaw=0.2, pitch=0.1, roll=0.05)
    turned = found.turned_to(0.4)

    assert apart(turned.camera(), 0.4, found.camera()) == pytest.approx(0, abs=1e-3)
    off = replace(found, yaw=0.2 + math.radians(3), pitch=0.0, roll=0.0)
    level = replace(found, pitch=0.0, roll=0.0)
    assert apart(off.camera(), 0.0, level.camera()) == pytest.approx(3, abs=1e-3)


def test_a_found_head_is_brought_to_where_the_photo_has_it():
    true = OrbitRig(yaw=0.3, pitch=0.1).camera()
    found = Alignment((290.0, 240.0), 430.0, angle=0.2, yaw=0.38, pitch=0.05, roll=0.1)
    camera = found.camera()
    shift = torch.tensor([0.01, -0.02, 0.05])  # as refinement moves cameras
    pose = camera.cam_to_world.clone()
    pose[:3, 3] += pose[:3, :3] @ shift
    camera = replace(camera, cam_to_world=pose)
    head = 0.15 * torch.randn(50, 3, generator=torch.Generator().manual_seed(2))

    matrix = into_photo(camera, found, true)

    in_crop = project(camera, head)
    wanted = torch.tensor(from_crop(found, in_crop.tolist())) / 512
    seen = project(true, head @ matrix[:3, :3].T + matrix[:3, 3])
    assert (seen - wanted).abs().max() < 0.015  # the head's depth over its distance, of its shift
    assert (seen - wanted).abs().mean() < 0.003
    still = Alignment((256.0, 256.0), 512.0, yaw=0.3, pitch=0.1)
    torch.testing.assert_close(into_photo(true, still, true), torch.eye(4), atol=1e-5, rtol=0)


def project(camera, points):
    """World points to sides of the picture. [N, 3] to [N, 2]"""
    seen = points @ camera.world_to_cam[:3, :3].T + camera.world_to_cam[:3, 3]
    return 0.5 + camera.focal * seen[:, :2] / seen[:, 2:]


class Source:
    """Seven splats, moved a little by the latent."""

    def heads(self, z):
        moved = torch.as_tensor(z)[:, None, :3].float() * 0.01
        head = some_splats(7).map(lambda tensor: tensor[None])
        return replace(head, means=head.means + moved)


def test_a_subject_follows_from_its_number_and_its_views_from_the_promise():
    first, again, other = (subject(Source(), index, 8) for index in (4, 4, 5))

    assert torch.equal(first.z, again.z)
    assert not torch.equal(first.z, other.z)
    yaw = lambda view: math.degrees(OrbitRig.from_camera(view.camera).yaw)  # noqa: E731
    assert abs(yaw(first.single)) <= 30
    assert [round(yaw(view) / 35) for view in first.three] == [0, 1, -1]
    assert all(abs(yaw(view)) <= 45.01 for view in first.novel)
    assert all(abs(yaw(view) - yaw(first.single)) >= 9.99 for view in first.novel)
    assert all(44.99 <= abs(yaw(view)) <= 90.01 for view in first.wide)


def outcome(index, novel=20.0):
    row = {f"{kind}_{phase}": novel + i for i, kind in enumerate(("given", "novel", "wide"))
           for phase in ("inverted", "tuned")}  # fmt: skip
    psnr = {"mean head": {"novel_inverted": 14.0}, "one view": row, "three views": dict(row)}
    return Outcome(
        index, psnr, {"landmarks": 4.0, "refined": 2.0 + index}, {"one view": [3, 2]}, 1.5
    )


def test_a_run_goes_on_from_what_it_found(tmp_path):
    path = tmp_path / "found.jsonl"
    assert _read(path, Method()) == {}
    for index in (3, 0):
        _append(path, outcome(index))
    with path.open("a") as file:
        file.write('{"index": 7, "psnr"')  # stopped while writing

    assert _read(path, Method()) == {3: outcome(3), 0: outcome(0)}
    other = Method(projector=ProjectorSettings(steps=7))
    with pytest.raises(LoadError, match="other settings"):
        _read(path, other)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no outcomes")

    with pytest.raises(LoadError, match="holds no outcomes"):
        _read(path, Method())


def test_figures_are_means_over_heads(capsys):
    figures = tell([outcome(0, 20.0), outcome(1, 24.0)])

    assert figures["given_psnr_tuned"] == 22.0
    assert figures["novel_psnr_inverted"] == 23.0
    assert figures["camera_deg_landmarks"] == 4.0
    assert figures["camera_deg_refined"] == 2.5
    assert "2 heads" in capsys.readouterr().out
    assert json.dumps(figures)


def test_the_plain_loop_makes_the_same_loss_smaller():
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.rand(1, 3, 128, 128, generator=draw) for _ in range(2))
    ours = StructuralDistance()

    found = float(ours.distance(ours.features(x), ours.features(y)))

    np.testing.assert_allclose(float(structural(x, y)), found, rtol=1e-4)
