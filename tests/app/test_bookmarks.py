"""Bookmarks: kept heads, the way between them, and their files."""

from __future__ import annotations

import io
import itertools
import json
import math
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from models.latents import LatentSettings, Mix, Push, Values
from renderer.errors import LoadError
from splatviz_app.bookmark_jobs import (
    bookmarks_from_text,
    bookmarks_text,
    find_route,
    read_bookmarks,
    write_bookmarks,
)
from splatviz_app.bookmarks import (
    Bookmark,
    ForeignBookmark,
    Route,
    Stop,
    renamed,
    slerp,
    travelled,
    unused_bookmark_name,
)
from splatviz_app.projects.files import thumbnail_of
from tests.app.test_projects import gradient, new, settle  # noqa: F401 - new is a fixture
from tests.steps import result_of

HERE = "ab" * 32


@pytest.fixture
def session(new, generator_file):  # noqa: F811
    """A session with a head of the small generator."""
    return new(generator_file)


def heads(weights):
    """Bookmarks of every sort: on the plane in W and Z, kept, pushed."""
    w = Values.of(np.linspace(-1, 1, 14)[None])
    push = Push("Smile", Values.of(np.ones(14)), 0.5, first=1)
    mix = Mix(Values.of(np.zeros((1, 14))), 1)
    return tuple(
        Bookmark(name, latent, weights, thumbnail_of(gradient(), 16))
        for name, latent in {
            "Plane W": LatentSettings(seed=1, x=0.3, y=0.1, psi=0.8),
            "Plane Z": LatentSettings(seed=2, x=-0.9, y=0.5, psi=0.6, space="Z"),
            "Also Z": LatentSettings(seed=3, x=0.1, y=0.5, psi=1.0, space="Z"),
            "Kept": LatentSettings(kept=w, psi=1.0, weights=weights),
            "Pushed": LatentSettings(seed=1, space="Z", pushes=(push,), weights=weights),
            "Mixed": LatentSettings(seed=4, mix=mix, weights=weights),
        }.items()
    )


# ---- names and generators


def test_with_its_generator_a_bookmark_is_what_was_kept():
    latent = LatentSettings(seed=3, psi=1.2)
    assert Bookmark("Ada", latent, HERE).latent_for(HERE) is latent


@pytest.mark.parametrize(("open_one", "said"), [("cd" * 32, "another generator"), ("", "Open the")])
def test_with_another_generator_a_bookmark_is_refused_with_a_sentence(open_one, said):
    with pytest.raises(ForeignBookmark, match=f"{said}.*|.*{said}") as caught:
        Bookmark("Ada", LatentSettings(), HERE).latent_for(open_one)
    assert "“Ada”" in str(caught.value)


def test_new_names_are_free_and_numbers_go_on():
    taken = [Bookmark(name, LatentSettings(), HERE) for name in ("Head 1", "Head 2", "Ada", "B 9")]
    assert unused_bookmark_name(taken) == "Head 3"
    assert unused_bookmark_name(taken, "Ada") == "Ada 2"
    assert unused_bookmark_name(taken, "B 9") == "B 10"
    assert unused_bookmark_name(taken, "Eve") == "Eve"
    assert renamed(taken[0], "  New \n name ").name == "New name"
    assert renamed(taken[0], " ") is taken[0]


# ---- slerp


def test_slerp_goes_evenly_along_the_great_circle():
    draw = np.random.RandomState(0)
    a, b = (draw.randn(10).astype(np.float32) for _ in range(2))
    way = [slerp(a, b, part) for part in np.linspace(0, 1, 9)]
    np.testing.assert_allclose(way[0], a, rtol=1e-6)
    np.testing.assert_allclose(way[-1], b, rtol=1e-6)
    lengths = [np.linalg.norm(z) for z in way]
    np.testing.assert_allclose(np.diff(lengths), np.diff(lengths)[0], atol=1e-5)
    units = [z / np.linalg.norm(z) for z in way]
    angles = [math.acos(min(1.0, float(u @ v))) for u, v in itertools.pairwise(units)]
    np.testing.assert_allclose(angles, angles[0], rtol=1e-4)


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, -0.5])
def test_slerp_between_parallel_vectors_is_finite_and_of_the_right_length(factor):
    a = np.random.RandomState(1).randn(10).astype(np.float32)
    middle = slerp(a, factor * a, 0.5)
    length = np.linalg.norm(a)
    np.testing.assert_allclose(np.linalg.norm(middle), length * (1 + abs(factor)) / 2, rtol=1e-5)
    cosine = float(middle @ a) / length / np.linalg.norm(middle)
    assert cosine == pytest.approx(1.0 if factor > 0 else 0.0, abs=1e-5)


# ---- routes


def test_at_its_stops_a_route_is_exactly_what_was_kept(session):
    weights = session.opened.fingerprint
    kept = heads(weights)
    route = result_of(find_route(session.pipeline, session.request(), kept, weights))
    assert [route.at(i) for i in range(len(kept))] == [b.latent for b in kept]
    assert (route.at(-1), route.at(99)) == (kept[0].latent, kept[-1].latent)


def test_only_heads_blended_in_z_go_over_z(session):
    weights = session.opened.fingerprint
    route = result_of(find_route(session.pipeline, session.request(), heads(weights), weights))
    assert [stop.z is not None for stop in route.stops] == [False, True, True, False, False, False]
    assert route.at(1.5).z is not None
    assert route.at(1.5).kept is None
    assert route.at(1.5).psi == pytest.approx(0.8)
    assert route.at(0.5).kept is not None


def test_between_two_stops_w_is_the_straight_blend(session):
    weights = session.opened.fingerprint
    request, kept = session.request(), heads(weights)
    route = result_of(find_route(session.pipeline, request, kept, weights))
    for first in (0, 2, 3, 4):
        w = [session.pipeline.w(replace(request, latent=b.latent)) for b in kept[first : first + 2]]
        between = session.pipeline.w(replace(request, latent=route.at(first + 0.25)))
        rows = max(part.shape[1] for part in w)
        ends = [part.expand(-1, rows, -1) for part in w]
        np.testing.assert_allclose(between, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)


def test_a_blend_in_z_is_the_head_of_the_blended_z(session):
    weights = session.opened.fingerprint
    request, kept = session.request(), heads(weights)
    route = result_of(find_route(session.pipeline, request, kept, weights))
    z = [session.pipeline.z(replace(request, latent=b.latent))[0].numpy() for b in kept[1:3]]
    between = replace(request, latent=route.at(1.25))
    np.testing.assert_allclose(session.pipeline.z(between)[0], slerp(*z, 0.25), rtol=1e-6)
    session.latent = route.at(1.25)
    settle(session)
    assert session.result.request.latent == route.at(1.25)
    assert session.banner == ""


def test_an_animation_goes_round_or_there_and_back():
    there = [travelled(t, 2.0, 0.5, back=False) for t in (0, 0.25, 0.75, 1.0, 1.25)]
    assert there == [0, 0.5, 1.5, 0, 0.5]
    back = [travelled(t, 2.0, 0.5, back=True) for t in (0, 0.75, 1.0, 1.25, 2.0, 2.5)]
    assert back == [0, 1.5, 2.0, 1.5, 0, 1.0]
    assert travelled(3.0, 0.0, 1.0, back=True) == 0.0


def test_a_route_blends_places_of_different_numbers_of_blocks():
    one = Stop(LatentSettings(), Values.of(np.zeros((1, 3))))
    many = Stop(LatentSettings(seed=1), Values.of(np.arange(12).reshape(4, 3)))
    half = Route((one, many), HERE).at(0.5)
    np.testing.assert_allclose(half.kept.array(), np.arange(12).reshape(4, 3) / 2)
    assert (half.psi, half.weights) == (1.0, HERE)


# ---- files


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_what_is_exported_is_imported_again(ending, session, tmp_path):
    weights = session.opened.fingerprint
    kept = heads(weights)
    path = tmp_path / f"heads{ending}"
    saved = result_of(write_bookmarks(session.pipeline, session.request(), kept, path))
    read = result_of(read_bookmarks(saved.path, None, "other"))
    assert read.bookmarks == kept
    assert "6 of another generator" in read.sentence
    assert (
        result_of(read_bookmarks(path, None, weights)).sentence == f"Read 6 heads from {path.name}"
    )


def test_the_npz_holds_the_w_that_other_programs_want(session, tmp_path):
    weights = session.opened.fingerprint
    kept = heads(weights)
    path = tmp_path / "heads.npz"
    result_of(write_bookmarks(session.pipeline, session.request(), kept, path))
    with np.load(path, allow_pickle=False) as arrays:
        w, names = arrays["w"], arrays["names"]
    assert list(names) == [b.name for b in kept]
    assert w.dtype == np.float32
    for row, bookmark in zip(w, kept, strict=True):
        expected = session.pipeline.w(replace(session.request(), latent=bookmark.latent))[0]
        np.testing.assert_array_equal(row, np.broadcast_to(expected, row.shape))


@pytest.mark.parametrize("shape", [(14,), (1, 14), (1, 1, 14), (3, 1, 14)])
def test_w_of_another_program_become_heads_of_the_open_generator(shape, session, tmp_path):
    weights, generator = session.opened.fingerprint, session.opened.loaded.generator
    w = np.random.RandomState(0).randn(*shape)
    path = tmp_path / "projected.npz"
    np.savez(path, w=w)
    read = result_of(read_bookmarks(path, generator, weights)).bookmarks
    assert len(read) == (3 if len(shape) == 3 and shape[0] == 3 else 1)
    assert read[0].name == ("projected" if len(read) == 1 else "projected 1")
    got = session.pipeline.w(replace(session.request(), latent=read[-1].latent))
    np.testing.assert_allclose(got, w.reshape(-1, 1, 14)[-1:], atol=1e-6)


def test_w_repeated_for_every_layer_of_another_network_are_taken_once(session, tmp_path):
    path = tmp_path / "repeated.npz"
    np.savez(path, w=np.random.RandomState(0).randn(1, 1, 14).repeat(18, axis=1))
    generator = session.opened.loaded.generator
    (bookmark,) = result_of(read_bookmarks(path, generator, HERE)).bookmarks
    assert bookmark.latent.kept.shape == (1, 14)


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def huge_header():
    """An array that says it has a million million numbers and holds none."""
    array = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(array, header)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("w.npy", array.getvalue())
    return file.getvalue()


def bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("w.npy", bytes(2**26 + 1))
    return file.getvalue()


def text_with(**changes):
    entry = json.loads(bookmarks_text(heads(HERE)[:1]))
    entry["bookmarks"][0].update(changes)
    return json.dumps(entry).encode()


BAD = {
    "missing.json": (None, "does not exist"),
    "empty.npz": (b"", "holds no bookmarks"),
    "empty.json": (b"", "holds no bookmarks"),
    "later.json": (b'{"splathead_bookmarks": 9}', "later version"),
    "other.json": (b'{"name": 1}', "does not say"),
    "deep.json": (b"[" * 100_000, "holds no bookmarks"),
    "unknown.json": (text_with(shell="rm"), "unknown field 'shell'"),
    "picture.json": (text_with(thumbnail="TVo="), "picture of “Plane W” is none"),
    "seed.json": (text_with(latent={"seed": -1}), "seed of “Plane W”"),
    "objects.npz": (packed(w=np.array([{}], dtype=object)), "holds no bookmarks"),
    "nothing.npz": (packed(x=np.zeros(3)), "neither bookmarks nor an array named w"),
    "wide.npz": (packed(w=np.zeros((1, 1, 15))), "1 x 1 x 15 numbers, which do not fit"),
    "nan.npz": (packed(w=np.full((1, 14), np.nan)), "not finite"),
    "layers.npz": (packed(w=np.random.RandomState(0).randn(1, 18, 14)), "do not fit"),
    "huge.npz": (huge_header(), "holds no bookmarks"),
    "bomb.npz": (bomb(), "too large"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_holds_no_bookmarks_is_refused_with_a_sentence(name, session, tmp_path):
    content, said = BAD[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    generator = session.opened.loaded.generator
    with pytest.raises(LoadError) as caught:
        result_of(read_bookmarks(path, generator, HERE))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_bare_w_need_an_open_generator(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, w=np.zeros(14))
    with pytest.raises(LoadError, match="open the generator"):
        result_of(read_bookmarks(path, None, ""))


def test_text_and_back_is_the_same():
    assert bookmarks_from_text(bookmarks_text(heads(HERE))) == heads(HERE)
