"""Questions about what is shown: evaluated on copies, in limited time, the newest first."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from renderer.camera import OrbitRig
from splatviz_app.answers import Plot
from splatviz_app.edits.values import Slider
from splatviz_app.evaluation import Evaluator, Inquiry, Question, why_not_ready, words_after
from splatviz_app.pipeline import Pipeline, RenderRequest, RenderResult, ViewSettings
from splatviz_app.scenes import Library, OpenedPly, PlyHead, drawing_device
from splatviz_app.selection import Selection
from tests.conftest import some_splats

SCENE = PlyHead("head.ply")
W, H = 40, 24  # px


def shown(**changes) -> RenderResult:
    """A picture of seven splats."""
    library = Library()
    library.add(SCENE, OpenedPly(some_splats().to(drawing_device())))
    request = RenderRequest(SCENE, None, OrbitRig(yaw=0.2), ViewSettings(), (W, H), backend="torch")
    return Pipeline(library)(replace(request, **changes))


@pytest.fixture(scope="module")
def picture() -> RenderResult:
    return shown()


def ask(text: str, result: RenderResult, sliders: tuple[Slider, ...] = (), **look):
    """The answer to one question."""
    evaluator = Evaluator()
    evaluator.submit(Inquiry((Question(text, **look),), result, sliders))
    evaluator.drain()
    assert evaluator.failure is None, evaluator.failure.details
    return evaluator.frame.answers[0]


def value(text: str, result: RenderResult, **look) -> str:
    answer = ask(text, result, **look)
    assert answer.error is None, answer.error
    return answer.view.text


# ---- what can be asked


def test_an_expression_sees_the_splats_the_picture_and_the_camera(picture):
    assert value("gs.count", picture) == "7"
    expected = float(some_splats().opacities.mean())
    assert float(value("gs.opacities.mean()", picture)) == pytest.approx(expected, abs=1e-5)
    assert value("render.size", picture) == f"({W}, {H})"
    assert value("tuple(render.image.shape)", picture) == f"(3, {H}, {W})"
    assert value("bool((render.alpha <= 1).all())", picture) == "True"
    eye = OrbitRig(yaw=0.2).eye
    assert float(value("float(camera.eye[0])", picture)) == pytest.approx(eye[0], abs=1e-5)


def test_the_picture_is_that_on_screen_and_depth_is_a_distance(picture):
    image = ask("render.image", picture).view.image.pixels
    np.testing.assert_allclose(image[..., :3].astype(int), picture.image[..., :3], atol=1)

    facts = ask("render.depth", picture).view.facts

    assert facts.nans == int(np.isnan(picture.depth).sum())
    assert facts.low == pytest.approx(float(np.nanmin(picture.depth)), abs=1e-4)


def test_the_selection_and_the_sliders_are_seen():
    mask = np.arange(7) % 2 == 0
    result = shown(selection=Selection.of(mask))

    assert value("sel.tolist()", result) == str(mask.tolist())
    answer = ask("slider.size * 2", result, (Slider("size", 0.25),))
    assert answer.view.text == "0.5"


def test_statements_may_lead_to_an_expression(picture):
    assert value("a = gs.count\nfor i in range(3):\n    a += i\na * 2", picture) == "20"
    assert value("a = 1; b = a + 1; b", picture) == "2"
    assert value("def twice(x):\n    return 2 * x + gs.count\n\n(twice\n (1))", picture) == "9"
    assert "End with an expression" in value("a = 1", picture)


def test_what_is_printed_is_kept_but_not_without_end(picture):
    answer = ask("print('hello', 1)\nprint(gs.count)\n3", picture)
    long = ask("for i in range(9999): print(i)", picture)

    assert answer.printed == "hello 1\n7\n"
    assert len(long.printed) == 2000


def test_per_splat_values_can_be_plotted_and_counted_by_selection():
    mask = np.arange(7) < 2
    result = shown(selection=Selection.of(mask))

    view = ask("gs._xyz.repeat(1, 2)", result, plot=Plot(bins=5, column=4)).view

    assert view.columns == 6
    np.testing.assert_array_equal(view.per_splat, some_splats().means[:, 1].numpy())


# ---- what is never done


def test_an_expression_changes_nothing(picture):
    before = picture.splats.gaussians.means.clone()
    depth = float(picture.rendered.alpha.sum())

    for text in (
        "gs._xyz.zero_()",
        "gs._xyz = gs._xyz + 5",
        "gs.keep(gs.opacities > 2)",
        "render.alpha.zero_()",
        "render.color.zero_()",
        "sel.fill_(True)",
        "camera.cam_to_world.zero_()",
    ):
        ask(text, picture)

    assert torch.equal(picture.splats.gaussians.means, before)
    assert float(picture.rendered.alpha.sum()) == depth
    assert value("bool(sel.any())", picture) == "False"


@pytest.mark.parametrize("text", ["", "  \n", "gs.opacities.mean(", "for i in x:", "gs.", "a = "])
def test_an_incomplete_text_is_known_without_running_anything(text):
    assert why_not_ready(text)


@pytest.mark.parametrize("text", ["gs", "1 +\\\n1", "print(", "x y"])
def test_why_a_text_is_not_ready_tells_a_slip_from_what_is_unfinished(text):
    why = why_not_ready(text)

    assert (why == "Not finished yet.") == (text == "print(")
    assert (why == "") == (text in ("gs", "1 +\\\n1"))


@pytest.mark.parametrize("text", ["-" * 100_000 + "1", "1" + "+1" * 50_000, "\x00", "'\ud800'"])
def test_a_text_that_cannot_be_read_at_all_is_no_accident(text):
    assert "read" in why_not_ready(text) or "null" in why_not_ready(text)


@pytest.mark.parametrize(
    ("before", "typed", "words"),
    [
        ("render.", "", ["image", "color", "alpha", "depth", "size"]),
        ("(render.al", "al", ["alpha"]),
        ("slider.wi", "wi", ["width"]),
        ("my.render.al", "al", []),
        ("ren", "ren", ["render"]),
    ],
)
def test_words_to_go_on_with_are_found(before, typed, words):
    found = words_after(before, before, ["width"])

    assert found.typed == typed or not words
    assert [word for word, _ in found.words][: len(words)] == words
    assert bool(found.words) == bool(words)


# ---- errors


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("1\n1 / 0", 2, "division by zero"),
        ("a = 1\nb = a.nothing\nb", 2, "nothing"),
        ("\n\ngs.nothing", 3, "gs has no 'nothing'"),
        ("raise SystemExit", 1, "cannot end the program"),
        ("x = [1,\n 2]\n(x[0] +\n x[7])", 4, "out of range"),
        ("slider.unknown", 1, "no slider 'unknown'"),
    ],
)
def test_an_error_has_its_line(text, line, says, picture):
    error = ask(text, picture).error

    assert error.line == line
    assert says in error.message
    assert "Traceback" not in str(error)


def test_an_error_of_one_question_leaves_the_others_alone(picture):
    evaluator = Evaluator()
    evaluator.submit(Inquiry((Question("1 / 0"), Question("gs.count")), picture))
    evaluator.drain()

    first, second = evaluator.frame.answers
    assert first.error is not None
    assert second.view.text == "7"


def test_an_endless_expression_is_stopped_and_the_next_one_answered(picture):
    evaluator = Evaluator()
    evaluator.runner.seconds = 0.2
    endless = "while True:\n    try:\n        while True: pass\n    except Exception: pass"
    evaluator.submit(Inquiry((Question(endless), Question("gs.count")), picture))
    evaluator.drain()

    first, second = evaluator.frame.answers
    assert "stopped" in first.error.message
    assert second.view.text == "7"


def test_a_repr_without_end_is_stopped_as_well(picture):
    evaluator = Evaluator()
    evaluator.runner.seconds = 0.2
    text = "class A:\n    def __repr__(self):\n        while True: pass\nA()"
    evaluator.submit(Inquiry((Question(text),), picture))
    evaluator.drain()

    assert "stopped" in evaluator.frame.answers[0].error.message


def test_an_object_whose_repr_raises_is_shown_by_its_type(picture):
    text = "class A:\n    def __repr__(self): raise ValueError('no')\nA()"

    assert "A" in value(text, picture)


# ---- the evaluator


def test_the_newest_inquiry_wins(picture):
    evaluator = Evaluator()
    evaluator.submit(Inquiry((Question("1"),), picture))
    evaluator.submit(Inquiry((Question("2"),), picture))
    evaluator.drain()

    assert evaluator.frames_drawn == 1
    assert evaluator.frame.answers[0].view.text == "2"


def test_a_question_about_the_same_picture_is_not_asked_twice(picture):
    evaluator = Evaluator()
    evaluator.submit(Inquiry((Question("torch.rand(())"),), picture))
    evaluator.drain()
    first = evaluator.frame.answers[0]

    evaluator.submit(Inquiry((Question("1"), Question("torch.rand(())")), picture))
    evaluator.drain()
    assert evaluator.frame.answers[1] is first

    evaluator.submit(Inquiry((Question("torch.rand(())"),), shown()))
    evaluator.drain()
    assert evaluator.frame.answers[0] is not first


def test_an_answer_is_found_by_its_question_else_by_its_text(picture):
    evaluator = Evaluator()
    coarse, fine = Question("gs.opacities", Plot(bins=2)), Question("gs.opacities", Plot(bins=9))
    evaluator.submit(Inquiry((coarse, fine), picture))
    evaluator.drain()
    answers = evaluator.frame

    assert answers.to(fine) is answers.answers[1]
    assert answers.to(Question("gs.opacities")) is answers.answers[0]
    assert answers.to(Question("gs.rgb")) is None


def test_the_evaluator_stops_though_an_expression_does_not(picture):
    evaluator = Evaluator()
    evaluator.start()
    evaluator.submit(Inquiry((Question("while True: pass"),), picture))
    while not evaluator.runner.running_seconds:
        time.sleep(0.002)

    evaluator.stop()

    assert not evaluator.is_drawing


def test_the_tree_of_gs_lists_what_scripts_may_use(picture):
    tree = ask("gs", picture).view.tree

    labels = [child.label for child in tree.children]
    assert labels[:6] == [
        "._xyz", "._rotation", "._scaling", "._opacity", "._features_dc", "._features_rest",
    ]  # fmt: skip
    assert {".rgb", ".scales", ".opacities", ".keep"} <= set(labels)
    assert tree.children[0].text == "[7 x 3] float32"
