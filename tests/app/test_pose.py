"""Camera poses as text: what is copied is what is pasted, and other people's numbers are understood."""

import json
import math
from dataclasses import replace

import pytest

from renderer.camera import OrbitRig
from splatviz_app.pose import PoseError, parse_pose, pose_text

OBLIQUE = OrbitRig(
    yaw=math.radians(-130), pitch=0.4, radius=3.1, target=(0.1, -0.2, 0.05), fov_y=math.radians(21)
)


def eye_and_focus(rig):
    """What a picture depends on, whatever point the rig is held by. 25 numbers."""
    return pytest.approx(rig.camera().to_label().tolist(), abs=1e-4)


def test_a_copied_pose_is_pasted_to_the_bit():
    assert parse_pose(pose_text(OBLIQUE), OrbitRig()) == OBLIQUE


def test_the_25_numbers_of_a_copied_pose_are_the_same_camera():
    numbers = json.loads(pose_text(OBLIQUE))["label"]
    assert len(numbers) == 25
    pasted = parse_pose(json.dumps(numbers), OrbitRig())
    assert pasted.camera().to_label().tolist() == eye_and_focus(OBLIQUE)


@pytest.mark.parametrize("between", [" ", ", ", "\n", "; ", "\t"])
def test_numbers_may_be_separated_by_anything(between):
    numbers = json.loads(pose_text(OBLIQUE))["label"]
    text = between.join(f"{number:.9e}" for number in numbers)
    assert parse_pose(text, OrbitRig()).camera().to_label().tolist() == eye_and_focus(OBLIQUE)


def test_16_numbers_keep_the_present_field_of_view():
    numbers = json.loads(pose_text(OBLIQUE))["label"][:16]
    present = replace(OrbitRig(), fov_y=0.7)
    pasted = parse_pose(str(numbers), present)
    assert pasted.fov_y == 0.7
    expected = replace(OBLIQUE, fov_y=0.7)
    assert pasted.camera().to_label().tolist() == eye_and_focus(expected)


def test_a_label_in_a_json_object_is_understood():
    numbers = json.loads(pose_text(OBLIQUE))["label"]
    pasted = parse_pose(json.dumps({"file": "00003.png", "label": numbers}), OrbitRig())
    assert pasted.camera().to_label().tolist() == eye_and_focus(OBLIQUE)


def test_a_pose_out_of_range_is_brought_into_it():
    text = pose_text(replace(OBLIQUE, radius=1e6))
    assert parse_pose(text, OrbitRig()).radius == 20.0


BAD = {
    "nothing": "",
    "prose": "the quick brown fox",
    "too few numbers": "1 2 3",
    "one number too many": " ".join(["0.5"] * 26),
    "no rotation": " ".join(["1"] * 16),
    "a mirror": "1 0 0 0  0 1 0 0  0 0 -1 2.7  0 0 0 1",
    "an off-centre label": "1 0 0 0 0 -1 0 0 0 0 -1 2.7 0 0 0 1  4.26 0 0.4 0 4.26 0.5 0 0 1",
    "no focal length": "1 0 0 0 0 -1 0 0 0 0 -1 2.7 0 0 0 1  0 0 0.5 0 0 0.5 0 0 1",
    "a pose without a target": '{"splathead_pose": {"yaw": 0, "pitch": 0, "radius": 2, "fov_y": 1}}',
    "a pose of words": '{"splathead_pose": {"yaw": "left", "pitch": 0, "radius": 2, "fov_y": 1, '
    '"target": [0, 0, 0]}}',
    "a pose that is not a number": '{"splathead_pose": {"yaw": NaN, "pitch": 0, "radius": 2, '
    '"fov_y": 1, "target": [0, 0, 0]}}',
    "a pose of a number without end": '{"splathead_pose": {"yaw": 1%s, "pitch": 0, "radius": 2, '
    '"fov_y": 1, "target": [0, 0, 0]}}' % ("0" * 400),
    "numbers beyond all bounds": "1e999 " + " ".join(["0"] * 15),
    "deeply nested": "[" * 100_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_pose_is_refused_with_advice(text):
    with pytest.raises(PoseError, match="numbers"):
        parse_pose(text, OrbitRig())
