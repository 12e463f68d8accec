"""A latent is a head: always the same splats, and what is known of it is what is seen."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from renderer.camera import OrbitRig
from renderer.errors import LoadError
from renderer.rasterize import rasterize
from renderer.spherical_harmonics import dc_to_rgb
from tests.training.synthetic.conftest import SPLATS
from tests.training.synthetic.stand_in import stand_in, write_folder
from training.synthetic.head import CM, HeadModel
from training.synthetic.parameters import ACTIVE, DIMENSIONS, HAIR_STYLES

BASE = {"hair_curl": 0.8, "beard": 0.7, "glasses": 0.58}  # half on


def draw(seed=0):
    return np.random.RandomState(seed).standard_normal(512)


def tensors(head):
    return [head.means, head.log_scales, head.quats, head.opacity_logits, head.sh]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def brightness(head, part):
    return float(dc_to_rgb(head.sh[part, 0]).mean())


def test_the_same_z_is_the_same_head(model, mesh_file):
    again = HeadModel.load(mesh_file, splats=SPLATS)

    assert equal(model.head(draw()), again.head(draw()))
    assert model.attributes(draw()) == again.attributes(draw())
    assert not equal(model.head(draw(0)), model.head(draw(1)))


def test_every_head_has_the_same_splats(model):
    heads = [model.head(draw(seed)) for seed in range(4)]

    assert {head.count for head in heads} == {model.count}
    assert 0.8 * SPLATS < model.count < 1.3 * SPLATS
    skin = model.part("skin")
    for head in heads[1:]:  # the same place of the skin, wherever identity moves it
        moved = (head.means[skin] - heads[0].means[skin]).norm(dim=1)
        apart = (head.means[skin].flip(0) - heads[0].means[skin]).norm(dim=1)
        assert moved.max() < 6 * CM
        assert moved.mean() < 0.2 * apart.mean()


def test_the_parts_are_all_of_the_head(model):
    names = ("skin", "mouth", "threads", "eyes", "catchlights", "shirt", "glasses", "hair")
    ends = [(model.part(name).start, model.part(name).stop) for name in names]

    assert ends[0][0] == 0
    assert ends[-1][1] == model.count
    assert all(before[1] == after[0] for before, after in pairwise(ends))


@pytest.mark.parametrize("seed", range(6))
def test_a_head_is_finite_and_lies_in_the_world(model, seed):
    head = model.head(3 * draw(seed))

    assert head.is_finite()
    assert head.means.abs().max() < 0.55
    assert head.scales.max() < 0.08  # so few splats make a coarse shirt
    colors = dc_to_rgb(head.sh)
    assert colors.min() > -1e-4
    assert colors.max() < 1.01
    assert torch.allclose(head.quats.norm(dim=1), torch.ones(head.count), atol=1e-4)


def test_only_the_active_dimensions_count(model):
    z = draw()
    other = z.copy()
    other[ACTIVE:] *= -1  # the same length

    assert equal(model.head(z), model.head(other))
    assert model.attributes(z) == model.attributes(other)


def test_only_the_direction_of_z_counts(model):
    one, other = model.head(draw()), model.head(4 * draw())

    for a, b in zip(tensors(one), tensors(other), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_each_active_dimension_changes_something(model, with_traits):
    base = model.head(with_traits(**BASE))

    same = [
        name for name in DIMENSIONS if equal(model.head(with_traits(**{**BASE, name: 2.0})), base)
    ]

    assert same == []


def test_a_batch_is_its_heads_with_any_number_of_threads(model):
    z = np.stack([draw(seed) for seed in range(3)])

    batch = model.heads(torch.from_numpy(z), threads=2)

    assert batch.batch_shape == (3,)
    for i in range(3):
        assert equal(batch[i], model.head(z[i]))


def test_heads_change_smoothly_with_z(model):
    step = 1e-3 * np.random.RandomState(1).standard_normal(512)
    before, after = model.head(draw()), model.head(draw() + step)

    assert not equal(before, after)
    assert (after.means - before.means).abs().max() < 0.1 * CM
    # Displayed colours are steep near black: 13 times the light's change.
    assert (dc_to_rgb(after.sh) - dc_to_rgb(before.sh)).abs().max() < 0.06


def test_attributes_are_plain_values(model):
    known = model.attributes(draw())

    assert known["hair_style"] in HAIR_STYLES
    for name in ("skin", "lips", "iris", "hair", "frame", "shirt"):
        assert len(known[f"{name}_colour"]) == 3
        assert all(0 <= value <= 1 for value in known[f"{name}_colour"])
    numbers = [value for value in known.values() if isinstance(value, float)]
    assert len(numbers) > 20
    assert np.isfinite(numbers).all()
    assert 0 <= known["hair_length"] <= 14


def test_glasses_beards_and_bald_heads_are_as_common_as_they_should_be(model):
    known = [model.attributes(draw(seed)) for seed in range(600)]

    def share(name):
        return np.mean([attributes[name] > 0.5 for attributes in known])

    assert 0.22 < share("glasses") < 0.34
    assert 0.15 < share("beard") < 0.32
    assert 0.05 < share("bald") < 0.16
    undecided = [0.02 < attributes["glasses"] < 0.98 for attributes in known]
    assert np.mean(undecided) < 0.15


# ---- attributes move what they say


def test_lighter_skin_is_brighter(model, with_traits):
    skin = model.part("skin")
    seen = [brightness(model.head(with_traits(skin_tone=v)), skin) for v in (-2, -0.5, 1, 2)]

    assert seen == sorted(seen)
    assert seen[-1] > seen[0] + 0.15
    known = [model.attributes(with_traits(skin_tone=v))["lightness"] for v in (-2, -0.5, 1, 2)]
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("part", "dimension", "low", "high"),
    [("hair", "hair_colour", -2, 2), ("shirt", "shirt_red", -2, 2), ("eyes", "eye_colour", -2, 2)],
)
def test_a_lighter_colour_is_brighter(model, with_traits, part, dimension, low, high):
    dark, bright = (model.head(with_traits(**{dimension: v})) for v in (low, high))

    assert brightness(bright, model.part(part)) > brightness(dark, model.part(part)) + 0.01


@pytest.mark.parametrize(
    ("part", "dimension"),
    [("glasses", "glasses"), ("threads", "beard"), ("threads", "brow_weight")],
)
def test_what_is_switched_on_is_there(model, with_traits, part, dimension):
    off, on = (model.head(with_traits(**{dimension: v})) for v in (-2, 2))
    part = model.part(part)

    assert on.opacities[part].mean() > off.opacities[part].mean() + 0.02


def test_without_glasses_or_hair_nothing_of_them_is_drawn(model, with_traits):
    head = model.head(with_traits(glasses=-1, bald=3))

    assert head.opacities[model.part("glasses")].max() < 1 / 255
    assert head.opacities[model.part("hair")].max() < 1 / 255


def test_longer_hair_reaches_farther_down(model, with_traits):
    hair = model.part("hair")
    lowest = [
        float(model.head(with_traits(hair_length=v)).means[hair, 1].min()) for v in (-2, 0, 1, 2)
    ]

    assert lowest == sorted(lowest, reverse=True)
    assert lowest[-1] < lowest[0] - 3 * CM


def test_an_open_mouth_lowers_the_chin(model, with_traits):
    closed, opened = (model.head(with_traits(mouth_open=v)) for v in (-2, 2.5))
    skin = model.part("skin")
    chin = closed.means[skin][:, 1] < -0.1
    chin &= closed.means[skin][:, 2] > 0.05

    assert chin.sum() > 20
    assert (closed.means[skin][chin] - opened.means[skin][chin])[:, 1].mean() > 0.3 * CM


def test_the_eyes_turn_by_the_known_gaze(model, with_traits):
    eyes = model.part("eyes")
    left, right = with_traits(gaze_x=2), with_traits(gaze_x=-2)

    def pupil(z):  # the rings of each eye begin in its middle
        return model.head(z).means[eyes][:3].mean(0)

    assert model.attributes(left)["gaze_left"] > 0.1
    assert model.attributes(right)["gaze_left"] < -0.1
    assert pupil(left)[0] > pupil(right)[0] + 0.2 * CM


def test_the_lamp_lights_the_side_it_stands_on(model, with_traits):
    skin = model.part("skin")

    def sides(value):
        head = model.head(with_traits(light_side=value))
        bright = dc_to_rgb(head.sh[skin, 0]).mean(1)
        on_left = head.means[skin][:, 0] > 0
        return float(bright[on_left].mean() - bright[~on_left].mean())

    assert model.attributes(with_traits(light_side=2))["light_left"] > 0.8
    assert sides(2) > sides(-2) + 0.05


def test_a_picture_shows_a_head_in_the_middle(model):
    seen = rasterize(model.head(draw()), OrbitRig().camera(), (48, 64))

    assert seen.alpha[20:36, 16:32].min() > 0.9
    assert seen.alpha[:, 0][:20].max() < 0.05


# ---- the mesh


def test_a_folder_of_obj_files_is_the_same_model(tmp_path):
    arrays = stand_in()
    published = {name: arrays[name] for name in arrays if not name.startswith("part_")}
    write_folder(tmp_path, published)
    from training.synthetic.mesh import load_mesh

    # The folder has the published vertex numbers: too many for the stand-in.
    with pytest.raises(LoadError, match="has only"):
        load_mesh(tmp_path, 18, ())


def test_the_obj_reader_reads_vertices_and_faces(tmp_path):
    from training.synthetic.mesh import _read_obj

    arrays = stand_in(components=1)
    arrays["quads"][3, 3] = arrays["quads"][3, 2]  # a triangle
    write_folder(tmp_path, arrays)

    vertices, faces = _read_obj(tmp_path / "generic_neutral_mesh.obj")
    assert np.array_equal(vertices.astype(np.float32), arrays["neutral"])
    assert np.array_equal(faces, arrays["quads"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "has no missing.npz"), (b"PK but no archive", "cannot be read as a head model")],
)
def test_a_missing_or_damaged_file_is_named(tmp_path, content, sentence):
    path = tmp_path / "missing.npz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(LoadError, match=sentence):
        HeadModel.load(path)


def test_a_file_that_lacks_something_is_refused(tmp_path):
    path = tmp_path / "half.npz"
    arrays = stand_in()
    del arrays["identity"]
    np.savez(path, **arrays)

    with pytest.raises(LoadError, match="ICT-FaceKit"):
        HeadModel.load(path)


def test_a_folder_without_the_mesh_is_refused(tmp_path):
    with pytest.raises(LoadError, match=r"has no generic_neutral_mesh\.obj"):
        HeadModel.load(tmp_path)
