"""The hand: what lies under the cursor stays there, nothing leaves its limits, no frame rate shows."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from itertools import pairwise, product

import pytest
import torch

from renderer.camera import OrbitRig
from splatviz_app import controls
from splatviz_app.controls import Inertia, choose_size

WIDTH, HEIGHT = 640, 360  # px
RIGS = [
    OrbitRig(),
    OrbitRig(yaw=0.7, pitch=-0.4, radius=1.9, target=(0.1, -0.2, 0.3), fov_y=0.6),
    OrbitRig(yaw=-2.9, pitch=1.2, radius=0.8, target=(-0.4, 0.0, 0.1), fov_y=1.1),
]
NOSE = (0.0, 0.0, 0.2)


def place(rig, point):
    """Where the camera sees a point: from the top left, in px; and its depth in world units."""
    camera = rig.camera().to(dtype=torch.float64)
    x, y, z, _ = (camera.world_to_cam @ torch.tensor([*point, 1.0], dtype=torch.float64)).tolist()
    scale = float(camera.focal) * HEIGHT / z
    return x * scale + WIDTH / 2, y * scale + HEIGHT / 2, z


def assert_within_limits(rig):
    assert all(math.isfinite(value) for value in (*astuple(rig)[:3], *rig.target, rig.fov_y))
    assert -math.pi <= rig.yaw <= math.pi
    assert abs(rig.pitch) <= controls.PITCH_LIMIT
    assert controls.RADIUS_LIMITS[0] <= rig.radius <= controls.RADIUS_LIMITS[1]
    assert controls.FOV_LIMITS[0] <= rig.fov_y <= controls.FOV_LIMITS[1]
    assert all(abs(t) <= controls.TARGET_LIMIT for t in rig.target)


# ---- orbit


def test_dragging_right_moves_the_nose_right_and_dragging_down_moves_it_down():
    before = place(OrbitRig(), NOSE)

    right = place(controls.orbit(OrbitRig(), 30, 0, HEIGHT), NOSE)
    down = place(controls.orbit(OrbitRig(), 0, 30, HEIGHT), NOSE)

    assert right[0] > before[0] + 1
    assert right[1] == pytest.approx(before[1])
    assert down[1] > before[1] + 1
    assert down[0] == pytest.approx(before[0])


def test_a_drag_over_the_height_is_half_a_turn_at_any_size():
    for height in (100, 1080):
        turned = controls.orbit(OrbitRig(), height / 2, 0, height)
        assert turned.yaw == pytest.approx(-math.pi / 2)


def test_a_drag_in_parts_is_the_drag_as_a_whole():
    rig = RIGS[1]
    for _ in range(10):
        rig = controls.orbit(rig, 3, -2, HEIGHT)

    whole = controls.orbit(RIGS[1], 30, -20, HEIGHT)
    assert rig.yaw == pytest.approx(whole.yaw)
    assert rig.pitch == pytest.approx(whole.pitch)


def test_orbiting_keeps_the_target_the_radius_and_the_field_of_view():
    turned = controls.orbit(RIGS[1], 12, 34, HEIGHT)

    assert replace(turned, yaw=RIGS[1].yaw, pitch=RIGS[1].pitch) == RIGS[1]


def test_orbiting_stops_at_the_poles_and_goes_round_and_round():
    up = controls.orbit(OrbitRig(), 0, 9999, HEIGHT)
    assert up.pitch == controls.PITCH_LIMIT

    around = controls.orbit(OrbitRig(yaw=0.3), 2 * HEIGHT * 5, 0, HEIGHT)
    assert around.yaw == pytest.approx(0.3)


# ---- pan and zoom


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("drag", [(40.0, 0.0), (0.0, -25.0), (-7.0, 13.0)])
def test_panning_keeps_the_point_under_the_cursor(rig, drag):
    cursor = (0.3 * WIDTH, 0.8 * HEIGHT)
    held = controls.point_at(rig, 0.3, 0.8, WIDTH / HEIGHT, depth=None)

    moved = controls.pan(rig, *drag, HEIGHT)

    x, y, z = place(moved, held)
    assert (x - cursor[0], y - cursor[1]) == pytest.approx(drag, abs=1e-3)
    assert z == pytest.approx(rig.radius)
    assert (moved.yaw, moved.pitch, moved.radius) == (rig.yaw, rig.pitch, rig.radius)


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("ticks", [1, 3, -2, 0.25])
def test_zooming_keeps_the_point_under_the_cursor_in_place(rig, ticks):
    point = controls.point_at(rig, 0.2, 0.7, WIDTH / HEIGHT, depth=rig.radius * 0.9)

    nearer = controls.zoom(rig, ticks, point)

    x, y, z = place(nearer, point)
    assert (x, y) == pytest.approx((0.2 * WIDTH, 0.7 * HEIGHT), abs=1e-2)
    assert (z < rig.radius * 0.9) == (ticks > 0)


def test_zooming_without_a_point_keeps_the_target():
    nearer = controls.zoom(RIGS[1], 2)

    assert nearer.target == RIGS[1].target
    assert nearer.radius < RIGS[1].radius


def test_zooming_in_and_out_again_is_where_it_was():
    there = controls.zoom(RIGS[1], 3, NOSE)
    back = controls.zoom(there, -3, NOSE)

    assert back.radius == pytest.approx(RIGS[1].radius)
    assert back.target == pytest.approx(RIGS[1].target)


@pytest.mark.parametrize(("ticks", "limit"), [(9999, 0), (1e6, 0), (-9999, 1), (-1e6, 1)])
def test_zooming_ends_at_the_limits_and_then_stands_still(ticks, limit):
    there = controls.zoom(OrbitRig(), ticks, NOSE)

    assert there.radius == controls.RADIUS_LIMITS[limit]
    assert controls.zoom(there, ticks, (0.3, 0.3, 0.3)) == there


def test_a_point_of_the_picture_is_where_the_camera_sees_it():
    for rig, x, y, depth in product(RIGS, (0.1, 0.5), (0.4, 0.9), (0.5, 2.0)):
        point = controls.point_at(rig, x, y, WIDTH / HEIGHT, depth)

        seen = place(rig, point)
        assert seen == pytest.approx((x * WIDTH, y * HEIGHT, depth), abs=2e-3)


def test_focusing_brings_a_point_to_the_middle_and_keeps_the_direction():
    rig = controls.focus(RIGS[1], (0.1, 0.2, 0.0))

    x, y, z = place(rig, (0.1, 0.2, 0.0))
    assert (x, y) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=1e-3)
    assert z == pytest.approx(rig.radius)
    assert (rig.yaw, rig.pitch) == (RIGS[1].yaw, RIGS[1].pitch)


# ---- named views and framing


@pytest.mark.parametrize("name", controls.VIEWS)
def test_a_named_view_keeps_target_distance_and_lens(name):
    rig = controls.view(RIGS[1], name)

    assert replace(rig, yaw=0.0, pitch=0.0) == replace(RIGS[1], yaw=0.0, pitch=0.0)
    assert_within_limits(rig)


def test_named_views_look_from_where_they_say():
    eyes = {name: controls.view(OrbitRig(radius=1.0), name).eye for name in controls.VIEWS}

    assert eyes["Front"] == pytest.approx((0, 0, 1))
    assert eyes["Profile"] == pytest.approx((1, 0, 0))
    assert eyes["Back"] == pytest.approx((0, 0, -1))
    assert eyes["Top"][1] > 0.99
    assert min(eyes["Three-quarter"][0], eyes["Three-quarter"][2]) > 0.5


BOXES = [
    ((-0.25, -0.35, -0.3), (0.25, 0.35, 0.3)),  # a head
    ((-0.05, -0.5, -0.05), (0.05, 0.5, 0.05)),  # tall
    ((0.1, -0.1, -0.6), (0.3, 0.1, 0.4)),  # deep and off the middle
]


@pytest.mark.parametrize(("low", "high"), BOXES)
@pytest.mark.parametrize("fov_deg", [13.4, 60.0])
@pytest.mark.parametrize("yaw", [0.0, 0.8, 1.57])
@pytest.mark.parametrize("pitch", [0.0, -0.6])
def test_framing_shows_the_whole_box_and_leaves_little_around_it(low, high, fov_deg, yaw, pitch):
    rig = OrbitRig(yaw=yaw, pitch=pitch, radius=9.0, fov_y=math.radians(fov_deg))

    framed = controls.frame(rig, low, high)

    corners = [place(framed, corner) for corner in product(*zip(low, high, strict=True))]
    edges = [abs(y / HEIGHT - 0.5) for _, y, _ in corners]
    sides = [abs((x - WIDTH / 2) / HEIGHT) for x, _, _ in corners]  # in a square picture
    assert all(z > 0 for _, _, z in corners)
    assert max(edges + sides) <= 0.5
    assert max(edges + sides) >= 0.4
    assert (framed.yaw, framed.pitch, framed.fov_y) == (rig.yaw, rig.pitch, rig.fov_y)


def test_framing_nothing_keeps_a_usable_camera():
    assert_within_limits(controls.frame(OrbitRig(), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    nan = (math.nan, math.nan, math.nan)
    assert_within_limits(controls.frame(OrbitRig(), nan, nan))


# ---- limits


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["yaw", "pitch", "radius", "fov_y", "target"])
def test_what_is_not_a_number_becomes_the_default(field, bad):
    value = (0.1, bad, 0.2) if field == "target" else bad

    rig = controls.limited(replace(RIGS[1], **{field: value}))

    assert_within_limits(rig)
    if field == "target":
        assert rig.target == (0.1, 0.0, 0.2)
    else:
        assert getattr(rig, field) == getattr(OrbitRig(), field)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_drag_that_is_not_a_number_leaves_a_usable_camera(bad):
    assert_within_limits(controls.orbit(RIGS[1], bad, bad, HEIGHT))
    assert_within_limits(controls.pan(RIGS[1], bad, 1, HEIGHT))
    assert_within_limits(controls.zoom(RIGS[1], bad))
    assert_within_limits(controls.zoom(RIGS[1], 1, (bad, 0.0, 0.0)))


def test_a_window_without_height_is_no_division_by_zero():
    assert_within_limits(controls.orbit(RIGS[1], 3, 3, 0))
    assert_within_limits(controls.pan(RIGS[1], 3, 3, 0))


def test_a_rig_within_its_limits_is_left_as_it_is():
    for rig in RIGS:
        limited = controls.limited(rig)
        assert limited.yaw == pytest.approx(rig.yaw)
        assert replace(limited, yaw=rig.yaw) == rig


# ---- inertia


def glide(rig, inertia, frames_per_second, seconds):
    for _ in range(round(seconds * frames_per_second)):
        rig, inertia = inertia.advance(rig, 1 / frames_per_second)
    return rig, inertia


def test_a_thrown_head_takes_the_same_path_at_30_and_144_frames_per_second():
    thrown = Inertia(yaw_speed=2.0, pitch_speed=-0.7)

    for seconds in (0.5, 1.0):
        slow, slow_left = glide(OrbitRig(), thrown, 30, seconds)
        fast, fast_left = glide(OrbitRig(), thrown, 144, seconds)
        assert (slow.yaw, slow.pitch) == pytest.approx((fast.yaw, fast.pitch), abs=1e-9)
        assert slow_left.yaw_speed == pytest.approx(fast_left.yaw_speed)


def test_a_thrown_head_comes_to_rest():
    thrown = Inertia(yaw_speed=5.0)
    assert thrown.moves

    rig, left = glide(OrbitRig(), thrown, 60, 3.0)

    assert not left.moves
    # The integral of a speed that halves every 0.12 s.
    assert rig.yaw == pytest.approx(5.0 * 0.12 / math.log(2), rel=1e-3)


def test_a_steady_hand_gives_its_speed_at_any_frame_rate():
    for frames_per_second in (30, 144):
        inertia, rig = Inertia(), OrbitRig()
        for _ in range(frames_per_second):  # a second at 1.5 rad/s
            after = replace(rig, yaw=rig.yaw + 1.5 / frames_per_second)
            inertia = inertia.pushed(rig, after, 1 / frames_per_second)
            rig = after
        assert inertia.yaw_speed == pytest.approx(1.5, rel=1e-3)
        assert inertia.pitch_speed == 0


def test_a_hand_that_rests_before_it_lets_go_throws_nothing():
    inertia, rig = Inertia(yaw_speed=3.0), OrbitRig()

    for _ in range(30):
        inertia = inertia.pushed(rig, rig, 1 / 60)

    assert not inertia.moves


def test_the_way_across_the_back_of_the_head_is_the_short_one():
    before, after = OrbitRig(yaw=math.pi - 0.01), OrbitRig(yaw=-math.pi + 0.01)

    pushed = Inertia().pushed(before, after, 1.0)

    assert 0 < pushed.yaw_speed < 0.05


def test_no_time_is_no_push():
    assert Inertia(1.0, 2.0).pushed(RIGS[0], RIGS[1], 0.0) == Inertia(1.0, 2.0)


# ---- the size of the picture


def test_a_resting_hand_or_a_fast_machine_gets_the_full_picture():
    assert choose_size((640, 360), seconds=9.0, dragging=False) == (640, 360)
    assert choose_size((640, 360), seconds=0.05, dragging=True) == (640, 360)
    assert choose_size((640, 360), seconds=0.0, dragging=True) == (640, 360)


def test_the_slower_the_machine_the_smaller_the_picture_down_to_a_quarter():
    seconds = [0.04 * 1.07**i for i in range(100)]
    sizes = [choose_size((640, 360), s, dragging=True) for s in seconds]

    for (width, height), (next_width, next_height) in pairwise(sizes):
        assert next_width <= width
        assert next_height <= height
    assert sizes[0] == (640, 360)
    assert sizes[-1] == (160, 90)


def test_a_picture_of_half_the_sides_is_asked_for_when_it_takes_four_times_too_long():
    assert choose_size((640, 360), seconds=0.2, dragging=True, budget=0.05) == (320, 180)


def test_the_shape_of_the_picture_stays():
    for seconds in (0.06, 0.1, 0.3, 5.0):
        width, height = choose_size((1920, 1080), seconds, dragging=True)
        assert width / height == pytest.approx(1920 / 1080, rel=0.01)


def test_a_tiny_window_gets_a_picture_of_at_least_16_px():
    assert choose_size((20, 17), seconds=9.0, dragging=True) == (16, 16)


def test_sizes_come_in_few_steps():
    sizes = {choose_size((800, 800), 0.05 + 0.001 * i, dragging=True) for i in range(1000)}

    assert len(sizes) <= 8
