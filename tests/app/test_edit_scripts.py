"""Scripts: what they see, what they change, how they fail, and that they can be stopped."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from renderer.camera import OrbitRig
from renderer.spherical_harmonics import dc_to_rgb
from splatviz_app.edits.apply import apply_edits
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.script import is_unfinished, read_expression, read_script
from splatviz_app.edits.stack import EditStack
from splatviz_app.edits.values import CodeEdit, EditContext
from tests.conftest import some_splats

LEVELS = (1, 2, 4)


@pytest.fixture
def runner():
    return ScriptRunner(seconds=20.0)


@pytest.fixture
def run(head, runner):
    """Run a script on the seven splats."""

    def run(code, head=head, levels=LEVELS, **changes):
        stack = EditStack((CodeEdit(code=code, name="Mine", key=5),))
        context = EditContext(runner, OrbitRig(yaw=0.5).camera(), **changes)
        return apply_edits(head, levels, stack, context)

    return run


def fails(run, code, **changes):
    with pytest.raises(EditError) as caught:
        run(code, **changes)
    assert "Traceback" not in str(caught.value)
    return caught.value


# ---- the raw values


def test_raw_values_have_the_layouts_of_the_reference_tools(run):
    run(
        "assert gs._xyz.shape == (7, 3)\n"
        "assert gs._rotation.shape == (7, 4)\n"
        "assert gs._scaling.shape == (7, 3)\n"
        "assert gs._opacity.shape == (7, 1)\n"
        "assert gs._features_dc.shape == (7, 1, 3)\n"
        "assert gs._features_rest.shape == (7, 8, 3)\n",
        head=some_splats(bases=9),
    )


def test_an_empty_script_changes_nothing_and_copies_nothing(run, head):
    after = run("x = gs.count")

    assert after.gaussians is head


def test_a_script_copies_only_what_it_touches(run, head):
    after = run("gs._features_dc += 0.5").gaussians

    torch.testing.assert_close(after.sh, head.sh + 0.5)
    assert after.means is head.means
    assert after.opacity_logits is head.opacity_logits


@pytest.mark.parametrize(
    "code",
    [
        "gs._xyz = gs._xyz * 2",
        "gs._xyz *= 2",
        "gs._xyz.mul_(2)",
        "gs._xyz[:] = gs._xyz * 2",
        "x = gs._xyz\nx += x.clone()",
        "gs._xyz = gs._xyz.numpy() * 2",
        "def twice(v):\n    return gs._xyz * v\ngs._xyz = twice(2)",
        "gs._xyz = torch.stack([2 * gs._xyz[:, i] for i in range(3)], dim=1)",
    ],
)
def test_every_way_of_writing_counts_and_the_head_that_came_in_stays(run, head, code):
    before = head.means.clone()

    after = run(code).gaussians

    torch.testing.assert_close(after.means, before * 2)
    assert torch.equal(head.means, before)


def test_running_again_never_compounds(run):
    first, second = run("gs._xyz += 0.25").gaussians, run("gs._xyz += 0.25").gaussians

    assert torch.equal(first.means, second.means)


def test_what_is_assigned_may_be_a_number_a_row_or_of_another_type(run, head):
    after = run(
        "gs._scaling = -5\n"
        "gs._features_dc = (1.0, 0.0, -1.0)\n"
        "gs._opacity = np.arange(7)\n"  # float64 would be another head
        "gs._rotation = torch.tensor([1, 0, 0, 0])\n"
    ).gaussians

    assert (after.log_scales == -5).all()
    assert torch.equal(after.sh[:, 0], torch.tensor([1.0, 0.0, -1.0]).expand(7, 3))
    assert after.opacity_logits.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert after.opacity_logits.dtype == head.opacity_logits.dtype
    assert after.quats[3].tolist() == [1, 0, 0, 0]


# ---- what is derived


def test_derived_values_are_what_one_sees(run, head):
    run(
        "assert torch.allclose(gs.rgb, 0.5 + 0.28209479 * gs._features_dc[:, 0])\n"
        "assert torch.allclose(gs.scales, gs._scaling.exp())\n"
        "assert torch.allclose(gs.opacities, gs._opacity[:, 0].sigmoid())\n"
        "assert gs.opacities.shape == (7,)\n"
        "assert gs.levels.tolist() == [0, 1, 1, 2, 2, 2, 2]\n"
        "assert len(gs) == gs.count == 7\n"
    )


@pytest.mark.parametrize(
    "code",
    [
        "gs.rgb = torch.where(gs.levels[:, None] == 1, torch.tensor([1., 0., 0.]), gs.rgb)",
        "gs.rgb[gs.levels == 1] = torch.tensor([1., 0., 0.])",
        "c = gs.rgb\nc[gs.levels == 1] = torch.tensor([1., 0., 0.])",
        "gs.rgb[1:3] = torch.tensor([1., 0., 0.])\ngs._features_dc += 0",
    ],
)
def test_colours_can_be_assigned_and_written_into(run, head, code):
    expected = dc_to_rgb(head.sh[:, 0]).clone()
    expected[1:3] = torch.tensor([1.0, 0.0, 0.0])

    after = run(code).gaussians

    torch.testing.assert_close(dc_to_rgb(after.sh[:, 0]), expected)


def test_raw_and_derived_values_follow_each_other(run, head):
    after = run(
        "gs.scales *= 2\n"
        "gs._scaling += math.log(3)\n"
        "assert torch.allclose(gs.scales, gs._scaling.exp())\n"
        "gs.scales[:] = gs.scales * 5\n"
    ).gaussians

    torch.testing.assert_close(after.scales, head.scales * 30)


def test_opacities_of_0_and_1_and_a_size_of_0_stay_numbers(run):
    after = run("gs.opacities[:3] = 0\ngs.opacities[3:] = 1\ngs.scales = 0").gaussians

    assert after.opacity_logits.isfinite().all()
    torch.testing.assert_close(
        after.opacities, torch.tensor([0.0] * 3 + [1.0] * 4), atol=1e-5, rtol=0
    )
    assert after.log_scales.isfinite().all()


# ---- which splats


@pytest.mark.parametrize(
    "mask", ["gs.levels == 2", "(gs.levels == 2)[:, None]", "np.arange(7) > 2", "[3, 4, 5, 6]"]
)
def test_keep_takes_a_mask_or_numbers(run, head, mask):
    after = run(f"gs.keep({mask})\nassert gs.count == 4\ngs._xyz += 1")

    torch.testing.assert_close(after.gaussians.means, head.means[3:] + 1)
    torch.testing.assert_close(after.gaussians.sh, head.sh[3:])
    assert after.origin.tolist() == [3, 4, 5, 6]
    assert after.levels().tolist() == [2, 2, 2, 2]


def test_keep_sees_what_was_changed_before_it(run, head):
    after = run("gs.opacities[:] = 0.01\ngs.opacities[4] = 0.9\ngs.keep(gs.opacities > 0.5)")

    assert after.origin.tolist() == [4]
    torch.testing.assert_close(after.gaussians.opacities, torch.tensor([0.9]))


def test_tensors_may_be_replaced_by_more_or_fewer_splats_if_all_are(run, head):
    names = ("_xyz", "_rotation", "_scaling", "_opacity", "_features_dc", "_features_rest")
    code = "".join(f"gs.{name} = torch.cat([gs.{name}, gs.{name}[:2]])\n" for name in names)

    after = run(code + "assert gs.levels.tolist() == [-1] * 9")

    assert after.count == 9
    torch.testing.assert_close(after.gaussians.means[7:], head.means[:2])
    assert after.is_foreign
    assert after.levels().tolist() == [-1] * 9


def test_the_selection_is_a_mask_and_empty_without_one(run):
    run("assert sel.dtype == torch.bool and sel.tolist() == [False] * 7")

    after = run("gs.keep(sel)", selected=lambda splats: splats.levels() == 1)

    assert after.origin.tolist() == [1, 2]


def test_a_script_sees_sliders_camera_and_time(run):
    run(
        "assert slider.x == 0.5 and slider.n == 3 and slider.on is True\n"
        "assert slider.tint.tolist() == [1.0, 0.5, 0.0]\n"
        "assert t == 2.5\n"
        "assert camera.eye.shape == (3,) and camera.eye[0] > 0\n",
        sliders={"x": 0.5, "n": 3, "on": True, "tint": (1.0, 0.5, 0.0)},
        time=2.5,
    )


def test_what_a_script_prints_is_kept_and_not_written_to_a_terminal(run, capsys):
    after = run("print('count', gs.count, sep=': ')\nprint(slider)\nprint('x' * 9999)")

    assert after.printed.startswith("count: 7\n")
    assert len(after.printed) <= 2000
    assert capsys.readouterr().out == ""


# ---- the same each time


def test_random_numbers_are_the_same_each_time_and_nobody_elses_change(run):
    code = "gs._xyz += torch.randn(7, 3)\ngs._scaling += torch.tensor(np.random.rand(7, 3))"
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2), np.random.rand(2)
    torch.manual_seed(3)
    np.random.seed(3)

    first, second = run(code).gaussians, run(code).gaussians

    assert torch.equal(first.means, second.means)
    assert torch.equal(first.log_scales, second.log_scales)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.rand(2), expected[1])


def test_a_seed_that_a_script_sets_does_not_reach_the_program(run):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()

    run("torch.manual_seed(9)\nnp.random.seed(9)")

    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_a_number_type_that_a_script_sets_does_not_reach_the_program(run, head):
    after = run("torch.set_default_dtype(torch.float64)\ngs._xyz = gs._xyz + torch.rand(7, 3)")

    assert torch.get_default_dtype() == torch.float32
    assert after.gaussians.means.dtype == head.means.dtype


def test_splats_larger_than_any_number_are_drawn_as_very_large_ones(run):
    after = run("gs._scaling = 1e30")

    assert after.gaussians.scales.isfinite().all()


def test_a_script_keeps_nothing_for_its_next_run(run):
    run("seen = 1")

    assert "seen" in fails(run, "seen += 1").message


@pytest.mark.gpu
def test_on_a_gpu_a_script_is_the_same_each_time_and_makes_its_tensors_there(run, head):
    there = head.to("cuda")
    code = (
        "gs._xyz += torch.randn(7, 3) + torch.rand_like(gs._xyz)\n"
        "gs.rgb[gs.levels == 1] = torch.tensor([1.0, 0.0, 0.0])\n"
        "gs.keep([0, 1, 2, 5])\n"
        "gs.rgb *= slider.tint\n"
        "gs.opacities = np.arange(4) / 4\n"
    )
    before = torch.cuda.get_rng_state()

    first = run(code, head=there, sliders={"tint": (0.5, 0.5, 0.5)})
    second = run(code, head=there, sliders={"tint": (0.5, 0.5, 0.5)})

    assert first.gaussians.means.is_cuda
    assert torch.equal(first.gaussians.means, second.gaussians.means)
    assert not torch.equal(first.gaussians.means, there.means[[0, 1, 2, 5]])
    red = dc_to_rgb(first.gaussians.sh[:, 0])[1].tolist()
    assert red == pytest.approx([0.5, 0.0, 0.0], abs=1e-5)
    assert torch.equal(torch.cuda.get_rng_state(), before)


# ---- errors


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        ("x = 1\ny = undefined_name", 2, "undefined_name"),
        ("x = 1\n\nfor i in range(3):\n    1 / 0\n", 4, "division by zero"),
        ("def f():\n    raise ValueError('no luck')\n\nf()", 2, "no luck"),
        ("gs._xyz = gs._xyz[:, :2]", 1, "shape"),
        ("x = 1\ngs._xyz = torch.zeros(5, 2)", 2, "_xyz has the shape [7, 3]"),
        ("gs.opacities = torch.rand(3)", 1, "opacities has the shape [7]"),
        ("gs._opacity = 'red'", 1, "numbers"),
        ("gs._xyz = gs._xyz.to(torch.complex64)", 1, "numbers"),
        ("gs.keep('all')", 1, "true or false"),
        ("gs.colour = 3", 1, "colour"),
        ("gs.colour", 1, "rgb"),
        ("slider.x = 3", 1, "by hand"),
        ("slider.missing", 1, "missing"),
        ("gs.keep(gs.opacities)", 1, "true or false"),
        ("gs.keep(torch.ones(5, dtype=torch.bool))", 1, "5 values for 7"),
        ("gs.keep([1, 7])", 1, "outside 0 to 6"),
        ("import sys\nsys.exit(3)", 2, "cannot end the program"),
        ("raise BaseException('odd')", 1, "odd"),
        ("x = {}\nx['a']", 2, "'a'"),
        ("if True\n    pass", 1, "':'"),
        ("x = (1,\n", 1, "never closed"),
        ("x = '\0'", 1, "null"),
    ],
)
def test_an_error_names_its_line_and_says_what_is_wrong(run, code, line, words):
    error = fails(run, code)

    assert error.line == line
    assert words in error.message
    assert str(error).startswith(f"Mine, line {line}: ")
    assert (error.name, error.key) == ("Mine", 5)


def test_what_does_not_fit_together_is_a_sentence(run):
    assert "7 splats" in fails(run, "gs._xyz = gs._xyz[:5]").message
    assert "1 splat and" in fails(run, "gs._xyz = [[1, 2, 3]]").message
    assert "_opacity must have the shape [N, 1]" in fails(run, "gs._opacity.squeeze_()").message
    assert "coefficients" in fails(run, "gs._features_rest = torch.zeros(7, 2, 3)").message


def test_what_is_not_a_number_is_a_sentence_but_not_what_was_none_before(run, head):
    error = fails(run, "gs._opacity[2:4] = float('nan')")
    broken = head.map(torch.clone)
    broken.means[3, 1] = torch.nan

    after = run("gs._xyz += 1", head=broken)

    assert "_opacity" in error.message
    assert "2 splats" in error.message
    assert after.gaussians.means[3].isnan().tolist() == [False, True, False]
    assert "_xyz" in fails(run, "gs._xyz[0] = torch.inf", head=broken).message


def test_text_that_is_still_being_typed_is_told_from_text_that_is_wrong():
    for text in ("x = (1,", "for i in range(3):", "if x:\n", "'''abc"):
        assert is_unfinished(text), text
    for text in ("x = 1", "x = )", "", "def f():\n    pass\n"):
        assert not is_unfinished(text), text


def test_an_expression_has_a_value_and_a_statement_is_none():
    assert read_expression(" 1 + x ").evaluate({"x": 2}) == 3
    for text in ("x = 1", "", "1 +"):
        with pytest.raises(EditError):
            read_expression(text)
    with pytest.raises(EditError, match="division"):
        read_expression("1 / 0").evaluate({})


def test_the_names_that_a_script_takes_from_outside_are_known():
    script = read_script("def f(t):\n    return t\ny = slider.a + slider.b\nf(y)\nsel")

    assert script.reads >= {"slider", "sel"}
    assert "t" not in script.reads
    assert script.sliders == {"a", "b"}


# ---- stopping

ENDLESS = {
    "plain": "while True: pass",
    "catching": "while True:\n    try:\n        x = 1\n    except BaseException:\n        pass",
    "bare": "while True:\n    try:\n        x = 1\n    except:\n        continue",
    "finally": "while True:\n    try:\n        x = 1\n    finally:\n        continue",
    "nested": "def f():\n    while True:\n        try:\n            g()\n        except BaseException:\n"
    "            pass\ndef g():\n    try:\n        sum(range(50))\n    except Exception:\n        pass\nf()",
    "suppress": "from contextlib import suppress\nwhile True:\n    with suppress(BaseException):\n"
    "        x = sum(range(50))",
    "torch": "while True:\n    gs._xyz += 1",
    "generator": "def f():\n    while True:\n        try:\n            yield 1\n"
    "        except BaseException:\n            pass\nsum(f())",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_script_is_stopped_and_the_next_one_runs(run, runner, kind):
    runner.seconds = 0.1
    before = set(threading.enumerate())

    error = fails(run, ENDLESS[kind])

    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()  # it does not go on behind our back
    assert "more than 0.1 s" in error.message
    assert "left behind" not in error.message
    runner.seconds = 20.0
    assert run("gs._xyz += 1").count == 7


def test_a_script_can_be_stopped_by_hand(run, runner):
    def press_stop():
        while not runner.running_seconds:
            time.sleep(0.005)
        runner.stop()

    hand = threading.Thread(target=press_stop)
    hand.start()

    error = fails(run, ENDLESS["plain"])

    hand.join()
    assert "was stopped" in error.message
    assert runner.running_seconds == 0


def test_stopping_when_nothing_runs_stops_nothing_later(run, runner):
    runner.stop()

    assert run("gs._xyz += 1").count == 7


def test_a_script_that_waits_in_a_library_is_left_behind(run, runner, monkeypatch):
    monkeypatch.setattr("splatviz_app.edits.runner._PATIENCE", 0.1)
    runner.seconds = 0.1

    error = fails(run, "import time\ntime.sleep(1.5)")

    assert "left behind" in error.message
    runner.seconds = 20.0
    assert run("gs._xyz += 1").count == 7


def test_what_stops_a_script_never_strikes_the_thread_that_waits(run, runner):
    runner.seconds = 0.02
    for _ in range(15):
        fails(run, ENDLESS["catching"])
        assert sum(range(20_000)) == 199990000  # python runs on, undisturbed
