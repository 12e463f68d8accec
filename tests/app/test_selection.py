"""Selections: values that are compared, joined, and followed through edits into the picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from renderer.camera import OrbitRig
from renderer.formats.ply import write_ply
from renderer.rasterize import activate, rasterize
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.stack import EditStack
from splatviz_app.edits.values import CodeEdit, EditContext
from splatviz_app.export import PictureOptions, save_picture
from splatviz_app.pipeline import Pipeline, RenderRequest, RenderResult, ViewSettings
from splatviz_app.preferences import Preferences
from splatviz_app.projects.frozen_json import InlineStore, Misfit, decode, encode
from splatviz_app.scenes import Library, OpenedPly, PlyHead, drawing_device
from splatviz_app.selection import (
    Rectangle,
    Selection,
    combine,
    inside,
    selected_rows,
    selection_of,
    tinted,
)
from splatviz_app.session import new_session
from tests.conftest import some_splats

N = 11  # not a multiple of eight
W, H = 40, 24  # px


def some(*numbers: int, count: int = N) -> Selection:
    mask = np.zeros(count, bool)
    mask[list(numbers)] = True
    return Selection.of(mask)


def head(count: int = N) -> EditedSplats:
    return EditedSplats(some_splats(count), level_sizes=(4, count - 4))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17])
def test_a_mask_survives_the_round_trip(count):
    mask = np.random.RandomState(count).rand(count) < 0.5

    selection = Selection.of(mask)

    np.testing.assert_array_equal(selection.mask(), mask)
    np.testing.assert_array_equal(Selection.of(torch.from_numpy(mask)).mask(), mask)
    assert selection.size == mask.sum()


def test_equal_selections_are_equal_values():
    assert some(1, 10) == some(10, 1)
    assert hash(some(1, 10)) == hash(some(10, 1))
    assert some(1) != some(2)
    assert some(1) != some(1, count=N + 1)


def test_inverting_twice_changes_nothing():
    selection = some(0, 3, 10)

    assert selection.inverted().size == N - 3
    assert selection.inverted().inverted() == selection
    assert not (selection.mask() & selection.inverted().mask()).any()


def test_bits_beyond_the_last_splat_are_refused():
    with pytest.raises(ValueError, match="beyond the last"):
        Selection(11, b"\x00\x01")
    with pytest.raises(ValueError, match="1 bytes"):
        Selection(11, b"\x00")


@pytest.mark.parametrize(
    ("how", "expected"),
    [("replace", (3, 4)), ("add", (1, 2, 3, 4)), ("subtract", (1, 2)), ("intersect", (3,))],
)
def test_selections_are_joined(how, expected):
    assert combine(some(1, 2, 3), some(3, 4), how) == some(*expected)


def test_nothing_selected_is_none_and_another_head_s_selection_is_forgotten():
    assert combine(some(1), some(1), "subtract") is None
    assert combine(some(1, count=99), some(2), "add") == some(2)
    assert combine(None, some(2), "intersect") is None


def test_a_selection_is_followed_through_deletions():
    edited = head().keep(torch.tensor([i not in (0, 5) for i in range(N)]))

    rows = selected_rows(some(0, 1, 10), edited)

    assert rows.tolist() == [True] + 7 * [False] + [True]
    assert selection_of(rows, edited) == some(1, 10)


def test_selecting_in_an_edited_head_names_the_splats_of_the_whole():
    edited = head().take(torch.tensor([9, 2, 7]))

    assert selection_of(np.array([True, False, True]), edited) == some(9, 7)
    assert selection_of(torch.tensor([False, True, False]), edited) == some(2)


def test_of_another_head_nothing_is_selected():
    assert not selected_rows(some(1, count=N + 2), head()).any()
    assert not selected_rows(None, head()).any()


def test_splats_that_a_script_made_cannot_be_selected():
    foreign = EditedSplats(some_splats(5), level_sizes=(N,), is_foreign=True)

    assert selected_rows(some(1), foreign).tolist() == [False] * 5
    assert selection_of(np.ones(5, bool), foreign) is None


@pytest.mark.parametrize("bases", [1, 4])
def test_the_tint_colours_the_selected_splats_and_no_others(bases):
    splats = activate(some_splats(N, bases))
    rows = torch.arange(N) == 4

    shown = tinted(splats, rows)

    assert torch.equal(shown.sh[~rows], splats.sh[~rows])
    red, _, blue = (0.5 + 0.28209479 * shown.sh[4, 0]).tolist()
    before = (0.5 + 0.28209479 * splats.sh[4, 0]).tolist()
    assert red == pytest.approx(0.65 * 1.0 + 0.35 * before[0], abs=1e-5)
    assert blue == pytest.approx(0.35 * before[2], abs=1e-5)
    assert shown.means is splats.means


# ---- deleted

CONTEXT = EditContext(ScriptRunner(), OrbitRig().camera())


def test_deleting_the_selected_splats_keeps_all_others_in_their_order():
    edit = DeleteSelected(selection=some(0, 5))

    after = edit.apply(head(), CONTEXT)

    kept = [i for i in range(N) if i not in (0, 5)]
    assert torch.equal(after.gaussians.means, head().gaussians.means[kept])
    assert torch.equal(after.origin, torch.tensor(kept))


def test_deleting_after_another_deletion_still_means_the_same_splats():
    edited = head().keep(torch.arange(N) != 2)

    after = DeleteSelected(selection=some(2, 3)).apply(edited, CONTEXT)

    assert after.origin.tolist() == [i for i in range(N) if i not in (2, 3)]


def test_an_edit_of_another_head_s_splats_is_refused_with_a_sentence():
    edit = DeleteSelected(selection=some(1, count=99))

    with pytest.raises(EditError, match="head of 99 splats, and this one has 11"):
        edit.apply(head(), CONTEXT)


def test_splats_that_a_script_made_anew_are_not_deleted_by_guess():
    foreign = EditedSplats(some_splats(5), level_sizes=(N,), is_foreign=True)

    with pytest.raises(EditError, match="move this edit above the script"):
        DeleteSelected(selection=some(1)).apply(foreign, CONTEXT)


def test_the_edit_survives_the_way_through_json():
    stack = EditStack().added(DeleteSelected(selection=some(3, 9), name="Ear"))

    entry = json.loads(json.dumps(encode(stack, EditStack, InlineStore())))

    assert decode(entry, EditStack, InlineStore()) == stack
    entry["edits"][0]["selection"]["count"] = 12345
    with pytest.raises(Misfit, match="selection"):
        decode(entry, EditStack, InlineStore())


# ---- the picture


@pytest.fixture
def shown():
    """A pipeline that counts what it activates, and a request for eleven splats."""
    library, scene = Library(), PlyHead("head.ply")
    library.add(scene, OpenedPly(some_splats(N).to(drawing_device())))
    view = ViewSettings(background=(0.0, 0.0, 0.0))
    request = RenderRequest(scene, None, OrbitRig(), view, (W, H), backend="torch")
    return Pipeline(library), request


def orange(result: RenderResult) -> float:
    """How much more red than blue the head is."""
    head = result.image[np.isfinite(result.depth)].astype(int)
    return float((head[:, 0] - head[:, 2]).mean())


def test_the_selected_splats_are_tinted_in_the_picture_alone(shown):
    pipeline, request = shown
    selection = Selection.of(np.ones(N, bool))

    plain = pipeline(request)
    tinted_ = pipeline(replace(request, selection=selection))
    hidden = pipeline(
        replace(request, selection=selection, view=replace(request.view, highlight=False))
    )

    assert orange(tinted_) > orange(plain) + 60
    assert set(tinted_.seconds) == {"rasterize", "compose"}, "nothing before is done again"
    np.testing.assert_array_equal(hidden.image, plain.image)
    np.testing.assert_array_equal(pipeline(request).image, plain.image)
    assert torch.equal(pipeline.edited(request).gaussians.sh, tinted_.splats.gaussians.sh)


def test_a_picture_that_is_saved_shows_no_selection(shown, tmp_path):
    pipeline, request = shown
    request = replace(request, selection=Selection.of(np.ones(N, bool)))
    paths = tmp_path / "with.png", tmp_path / "without.png"

    for path, wanted in zip(paths, (request, replace(request, selection=None)), strict=True):
        for _ in save_picture(pipeline, wanted, path, PictureOptions(size=(W, H))):
            pass

    first, second = (np.asarray(Image.open(path)) for path in paths)
    np.testing.assert_array_equal(first, second)


def test_a_broken_splat_does_not_shift_the_tint():
    splats = some_splats(N)
    broken = splats.means.clone()
    broken[2] = torch.nan
    library, scene = Library(), PlyHead("head.ply")
    library.add(scene, OpenedPly(replace(splats, means=broken).to(drawing_device())))
    pipeline = Pipeline(library)
    view = ViewSettings()
    request = RenderRequest(scene, None, OrbitRig(), view, (W, H), backend="torch")
    whole = Library()
    whole.add(scene, OpenedPly(splats.select(torch.arange(N) != 2).to(drawing_device())))

    first = pipeline(replace(request, selection=some(1, 2, 3, 8)))
    second = Pipeline(whole)(replace(request, selection=some(1, 2, 7, count=N - 1)))

    np.testing.assert_array_equal(first.image, second.image)


def test_a_script_that_reads_the_selection_follows_it_and_others_do_not(shown):
    pipeline, request = shown
    stack = EditStack().added(CodeEdit(code="gs.opacities[sel] = 0"))
    reading = replace(request, edits=stack, selection=some(1, 2))

    assert (pipeline.edited(reading).gaussians.opacities < 1e-4).nonzero().flatten().tolist() == [
        1,
        2,
    ]
    reading = replace(reading, selection=some(5))
    assert (pipeline.edited(reading).gaussians.opacities < 1e-4).nonzero().flatten().tolist() == [5]
    blind = replace(request, edits=EditStack().added(CodeEdit(code="gs.opacities *= 0.5")))
    first = pipeline.edited(replace(blind, selection=some(1)))
    assert pipeline.edited(replace(blind, selection=some(2))) is first


# ---- the session


def test_a_selection_is_undone_and_gone_with_another_head(tmp_path):
    paths = tmp_path / "first.ply", tmp_path / "second.ply"
    for seed, path in enumerate(paths):
        write_ply(path, some_splats(N, seed=seed))
    session = new_session(Preferences(backend="torch"))

    def settle() -> None:
        for _ in range(4):
            session.engine.drain()
            session.update(0.01)

    session.open(paths[0])
    settle()
    session.selection = some(3, 4)
    settle()
    assert session.result.request.selection == some(3, 4)
    session.undo()
    assert session.selection is None
    session.redo()
    assert session.selection == some(3, 4)
    session.open(paths[1])
    settle()
    assert session.selection is None
    session.undo()
    settle()
    assert (session.selection, Path(session.scene.path).name) == (some(3, 4), "first.ply")


# ---- rectangles

RIG = OrbitRig(yaw=0.3, pitch=-0.2, fov_y=0.5)


def everywhere(far: float = 100.0) -> np.ndarray:
    return np.full((H, W), far, np.float32)


def places(splats: EditedSplats) -> np.ndarray:
    """Where a rasterized splat alone is brightest, as parts of the picture. [M, 2]"""
    found = []
    for i in range(splats.count):
        one = splats.gaussians.select(torch.arange(splats.count) == i)
        alpha = rasterize(one, RIG.camera(), (W, H), backend="torch").alpha
        row, column = divmod(int(alpha.argmax()), W)
        found.append(((column + 0.5) / W, (row + 0.5) / H))
    return np.array(found)


def small_ones(count: int = N) -> EditedSplats:
    splats = some_splats(count, seed=4)
    means = (splats.means * 1.5).clamp(-0.25, 0.25)
    logits = torch.full((count,), 3.0)
    scales = torch.full((count, 3), -5.0)
    return EditedSplats(
        replace(splats, means=means, log_scales=scales, opacity_logits=logits), (count,)
    )


def test_a_rectangle_selects_what_is_drawn_in_it():
    splats = small_ones()
    at = places(splats)
    corner = Rectangle((0.5, 0.0), (1.0, 0.5))

    rows = inside(corner, splats, RIG, everywhere())

    assert rows.tolist() == ((at[:, 0] > 0.5) & (at[:, 1] < 0.5)).tolist()
    assert 0 < rows.sum() < N


def test_a_rectangle_may_be_drawn_from_any_corner():
    splats = small_ones()

    first = inside(Rectangle((0.3, 0.6), (0.6, 0.2)), splats, RIG, everywhere())
    second = inside(Rectangle((0.6, 0.2), (0.3, 0.6)), splats, RIG, everywhere())

    assert torch.equal(first, second)
    assert first.any()


def test_what_is_hidden_is_selected_only_through_the_head():
    splats = small_ones()
    distance = (splats.gaussians.means - torch.tensor(RIG.eye)).norm(dim=-1)
    surface = everywhere(float(distance.median()))
    whole = Rectangle((0.0, 0.0), (1.0, 1.0))

    seen = inside(whole, splats, RIG, surface)
    through = inside(whole, splats, RIG, surface, through=True)

    assert through.all()
    assert 0 < seen.sum() < N
    assert distance[seen].max() < distance[~seen].min() + 0.05


def test_beside_the_head_nothing_hides_a_splat():
    nowhere = np.full((H, W), np.nan, np.float32)

    assert inside(Rectangle((0, 0), (1, 1)), small_ones(), RIG, nowhere).all()


def test_what_cannot_be_seen_is_not_selected_by_sight():
    splats = small_ones()
    logits = torch.full((N,), 3.0)
    logits[2] = -9.0
    faint = splats.with_(opacity_logits=logits)

    rows = inside(Rectangle((0, 0), (1, 1)), faint, RIG, everywhere())

    assert rows.tolist() == [i != 2 for i in range(N)]


def test_what_is_behind_the_camera_is_never_selected():
    splats = small_ones()
    behind = splats.with_(means=splats.gaussians.means + 2 * torch.tensor(RIG.eye))

    assert not inside(Rectangle((0, 0), (1, 1)), behind, RIG, everywhere(), through=True).any()
