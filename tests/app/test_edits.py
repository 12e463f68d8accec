"""Edits without code, their stack, and the sliders of scripts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from renderer.camera import OrbitRig
from renderer.rasterize import activate
from renderer.spherical_harmonics import dc_to_rgb, rgb_to_dc, sh_to_rgb
from splatviz_app.edits.apply import apply_edits
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.stack import KINDS, EditStack
from splatviz_app.edits.tools import (
    CropBox,
    CropSphere,
    DeleteByOpacity,
    DeleteBySize,
    DeleteLevels,
    Exposure,
    Hue,
    Opacity,
    Saturation,
    Scale,
    Tint,
)
from splatviz_app.edits.values import Animation, CodeEdit, EditContext, Slider, why_not_a_name
from tests.conftest import some_splats

RUNNER = ScriptRunner()
LEVELS = (1, 2, 4)  # of the seven splats


def context(**changes):
    return EditContext(RUNNER, OrbitRig().camera(), **changes)


def edited(head, *edits, levels=LEVELS, **changes):
    return apply_edits(head, levels, EditStack(edits), context(**changes))


def same(a, b):
    names = ("means", "log_scales", "quats", "opacity_logits", "sh")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def colors(head):
    return dc_to_rgb(head.sh[:, 0])


# ---- no edit


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in (CropBox, CropSphere, Tint)])
def test_an_edit_as_the_menu_adds_it_may_only_delete_and_never_changes_what_it_keeps(kind, head):
    after = edited(head, kind())

    kept = after.origin if after.origin is not None else torch.arange(head.count)
    assert same(after.gaussians, head.map(lambda tensor: tensor[kept]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_leaves_the_head_that_came_in_as_it_was(kind, head):
    before = head.map(torch.clone)
    edit = kind(code="gs._xyz += 1\ngs.rgb *= 0") if kind is CodeEdit else kind()

    edited(head, edit, Opacity(factor=0.5), Scale(factor=2), Exposure(stops=1))

    assert same(head, before)


def test_an_edit_that_is_off_does_nothing(head):
    assert same(edited(head, Scale(factor=3, enabled=False)).gaussians, head)


# ---- values


def test_opacity_is_multiplied_and_stays_an_opacity(head):
    half = edited(head, Opacity(factor=0.5)).gaussians
    much = edited(head, Opacity(factor=1000)).gaussians

    torch.testing.assert_close(half.opacities, head.opacities * 0.5)
    assert much.opacity_logits.isfinite().all()
    assert (much.opacities > 0.9999).all()


def test_size_is_multiplied(head):
    torch.testing.assert_close(edited(head, Scale(factor=2.5)).gaussians.scales, head.scales * 2.5)


def test_exposure_of_one_stop_is_twice_as_bright(head):
    torch.testing.assert_close(
        colors(edited(head, Exposure(stops=1)).gaussians), colors(head) * 2, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    "edit", [Exposure(stops=-0.7), Saturation(factor=0.3), Hue(angle=1.1), Tint(strength=0.4)]
)
def test_colours_that_depend_on_the_direction_change_alike_from_everywhere(edit):
    head = some_splats(bases=9)
    head = replace(head, sh=head.sh * 0.05)  # no colour below 0, where it would be cut off
    way = torch.nn.functional.normalize(torch.tensor([[0.3, -0.8, 0.5]]), dim=-1).expand(7, 3)

    seen = sh_to_rgb(edited(head, edit).gaussians.sh, way)

    plain = sh_to_rgb(head.sh, way)
    flat = replace(head, sh=rgb_to_dc(plain)[:, None])
    torch.testing.assert_close(seen, colors(edited(flat, edit).gaussians), atol=1e-5, rtol=1e-5)


def test_without_saturation_all_is_grey_and_as_bright(head):
    grey = colors(edited(head, Saturation(factor=0)).gaussians)
    luma = torch.tensor([0.2126, 0.7152, 0.0722])

    torch.testing.assert_close(
        grey, (colors(head) @ luma)[:, None].expand(-1, 3), atol=1e-5, rtol=0
    )


def test_hue_turns_red_to_green_to_blue_and_back_and_leaves_grey():
    head = some_splats(4)
    palette = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.4, 0.4, 0.4]])
    head = replace(head, sh=rgb_to_dc(palette)[:, None])
    third = Hue(angle=2 * math.pi / 3)

    once = colors(edited(head, third).gaussians)
    thrice = colors(edited(head, third, third, third).gaussians)

    torch.testing.assert_close(once, palette[[1, 2, 0, 3]], atol=1e-5, rtol=0)
    torch.testing.assert_close(thrice, palette, atol=1e-5, rtol=0)


def test_a_full_tint_gives_shades_of_one_colour(head):
    tint = (0.2, 0.5, 0.9)
    shades = colors(edited(head, Tint(color=tint, strength=1)).gaussians)

    torch.testing.assert_close(shades[:, 0] * 0.5, shades[:, 1] * 0.2, atol=1e-5, rtol=0)
    torch.testing.assert_close(shades[:, 2] * 0.5, shades[:, 1] * 0.9, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "edit", [Scale(factor=0), Scale(factor=-1), Exposure(stops=1e300), CropSphere(radius=1e300)]
)
def test_numbers_that_no_control_gives_are_survived(edit, head):
    assert edited(head, edit).gaussians.is_finite()


# ---- deleting


def test_a_box_keeps_what_is_inside_or_what_is_outside_and_both_are_all(head):
    box = CropBox(center=(0.02, 0, 0), size=(0.2, 0.3, 0.25))

    inside, outside = edited(head, box), edited(head, replace(box, outside=True))

    away = (head.means - torch.tensor([0.02, 0, 0])).abs()
    expected = (away <= torch.tensor([0.1, 0.15, 0.125])).all(1).nonzero()[:, 0]
    assert 0 < inside.count < 7
    assert inside.origin.tolist() == expected.tolist()
    assert sorted(inside.origin.tolist() + outside.origin.tolist()) == list(range(7))


def test_a_sphere_keeps_what_is_near_its_centre(head):
    kept = edited(head, CropSphere(center=(0, 0.05, 0), radius=0.15))

    near = (head.means - torch.tensor([0, 0.05, 0])).norm(dim=1) <= 0.15
    assert 0 < kept.count < 7
    assert kept.origin.tolist() == near.nonzero()[:, 0].tolist()


def test_levels_are_deleted_as_the_generator_made_them_also_behind_another_deletion(head):
    opaque = DeleteByOpacity(low=float(head.opacities.sort().values[2]) - 1e-6)

    alone = edited(head, DeleteLevels(levels=(1,)))
    after = edited(head, opaque, DeleteLevels(levels=(0, 2)))

    assert alone.origin.tolist() == [0, 3, 4, 5, 6]
    assert alone.levels().tolist() == [0, 2, 2, 2, 2]
    kept = (head.opacities >= opaque.low).nonzero()[:, 0].tolist()
    assert after.origin.tolist() == [i for i in kept if i in (1, 2)]


def test_size_is_that_of_the_longest_axis(head):
    longest = head.scales.amax(1).sort().values
    edit = DeleteBySize(low=float(longest[1]) - 1e-6, high=float(longest[4]) + 1e-6)

    assert edited(head, edit).count == 4


def test_nothing_left_is_no_error(head):
    after = edited(
        head, CropSphere(radius=0), Hue(angle=1), Scale(factor=2), DeleteLevels(levels=(1,))
    )

    assert after.count == 0
    assert len(activate(after.gaussians).means) == 0


def test_splats_keep_their_origin_through_several_deletions(head):
    splats = EditedSplats(head, LEVELS)

    twice = splats.keep(head.means[:, 0] > 0)
    twice = twice.keep(twice.gaussians.means[:, 1] > 0)

    assert 0 < twice.count < 7
    torch.testing.assert_close(twice.gaussians.means, head.means[twice.origin])
    assert twice.levels().tolist() == torch.tensor([0, 1, 1, 2, 2, 2, 2])[twice.origin].tolist()


# ---- the stack


def test_edits_of_a_stack_have_keys_of_their_own_that_stay():
    stack = EditStack().added(Hue()).added(Scale()).added(Tint(), place=0)
    tint, hue, scale = stack.edits

    assert len({tint.key, hue.key, scale.key}) == 3
    assert stack.moved(scale.key, 0).edits == (scale, tint, hue)
    assert stack.moved(tint.key, 99).edits == (hue, scale, tint)
    assert stack.removed(hue.key).edits == (tint, scale)
    renamed = stack.changed(replace(hue, name="Sunset"))
    assert renamed.edits == (tint, replace(hue, name="Sunset"), scale)
    assert stack.moved(77, 0) == stack


def test_edits_are_applied_from_the_first_to_the_last(head):
    grow, crop = Scale(factor=2), DeleteBySize(low=0, high=float(head.scales.amax()) * 1.01)

    assert edited(head, crop, grow).count == 7
    assert edited(head, grow, crop).count < 7


def test_only_what_shows_is_in_the_effective_stack():
    code = CodeEdit(code="gs._xyz *= slider.x")
    sliders = (Slider("x"), Slider("y"))
    stack = EditStack((code, Hue(enabled=False)), sliders)

    assert stack.effective() == EditStack((code,), (Slider("x"),))
    assert stack.removed(0).effective() == EditStack()


@pytest.mark.parametrize(
    ("code", "moves"),
    [
        ("gs._xyz += t", True),
        ("t = 3\ngs._xyz += t", False),
        ("gs._xyz *= slider.still", False),
        ("gs._xyz *= slider.moving", True),
        ("gs._xyz += (t", False),  # not Python yet
    ],
)
def test_a_stack_knows_whether_it_moves_by_itself(code, moves):
    sliders = (Slider("still"), Slider("moving", animation=Animation()))

    assert EditStack((CodeEdit(code=code),), sliders).uses_time is moves
    assert not EditStack((CodeEdit(code=code, enabled=False),), sliders).uses_time


# ---- sliders


def test_a_loop_begins_anew_and_a_ping_pong_comes_back():
    loop = Animation("loop", seconds=4, ease=False)
    both = Animation("ping-pong", seconds=4, ease=False)

    assert [loop.at(t) for t in (0, 1, 3, 4, 5)] == [0, 0.25, 0.75, 0, 0.25]
    assert [both.at(t) for t in (0, 1, 2, 3, 4)] == [0, 0.5, 1, 0.5, 0]


def test_an_eased_animation_meets_the_plain_one_at_both_ends_and_the_middle_and_starts_slower():
    plain, eased = Animation("loop", 1.0, ease=False), Animation("loop", 1.0, ease=True)

    for time in (0.0, 0.5):
        assert eased.at(time) == pytest.approx(plain.at(time))
    assert eased.at(0.1) < plain.at(0.1)
    assert eased.at(0.9) > plain.at(0.9)


@pytest.mark.parametrize(
    ("slider", "value"),
    [
        (Slider("x", 20.0, -5, 10), 10.0),
        (Slider("x", 2.6, 0, 10, "int"), 3),
        (Slider("x", 1.0, 0, 1, "bool"), True),
        (Slider("x", (2.0, 0.5, -1.0), kind="color"), (1.0, 0.5, 0.0)),
        (Slider("x", 0, -2, 6, animation=Animation("loop", 4, False)), 0.0),
        (Slider("x", 0, -2, 7, "int", Animation("loop", 4, False)), 0),
    ],
)
def test_a_slider_has_a_value_of_its_kind_in_its_range(slider, value):
    at = slider.at(1.0)

    assert at == value
    assert type(at) is type(value)


def test_a_sliders_name_must_be_one_that_scripts_can_write():
    assert why_not_a_name("skin_2") == ""
    for name in ("", "2nd", "a b", "for", "_x", "a-b"):
        assert why_not_a_name(name)
    assert "already" in why_not_a_name("x", taken=("x",))
