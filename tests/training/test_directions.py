"""Named directions found from what z means, and the command that finishes a distillation."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from models.checkpoint import load_generator, save_generator
from models.directions import read_directions, shipped_directions, weights_hash
from renderer.errors import SplatheadError
from tests.models.small import small_generator
from tests.training.test_distill import SETTINGS
from training import directions, finish
from training.directions import ATTRIBUTES, find_directions, moved
from training.distill import DistillState, save
from training.synthetic.parameters import DIMENSIONS, Z_DIM, traits_of

BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}

# What else an attribute shows in: lips are tinted skin, and a beard takes their paint away.
ALSO = {"skin": {"lightness", "lips"}, "beard": {"lips"}}


def distilled(seed=0):
    """A small generator whose mapping network knows the idle dimensions of z."""
    state = DistillState.fresh(dataclasses.replace(SETTINGS, seed=seed))
    return state.average


def latents(count=5, seed=1):
    return np.random.RandomState(seed).standard_normal((count, Z_DIM))


def as_tensor(z):
    return torch.from_numpy(z).float()


@pytest.mark.parametrize("name", BY_NAME)
def test_moving_an_attribute_leaves_the_others_as_they_are(name):
    z = latents(9)
    changed = set()
    for before, after in zip(z, moved(z, BY_NAME[name], 1.7), strict=True):
        old, new = (dataclasses.asdict(traits_of(each)) for each in (before, after))
        changed |= {key for key in old if not np.allclose(old[key], new[key], rtol=0, atol=1e-5)}
    (own,) = {trait for trait in changed if trait not in set().union(*ALSO.values())}
    assert changed <= {own} | ALSO.get(own, set())


def test_an_amount_of_one_goes_from_the_start_to_the_end_and_back():
    glasses = BY_NAME["Glasses"]
    z = moved(latents(), glasses, 0)
    z[:, DIMENSIONS["glasses"]] = glasses.start
    there = moved(z, glasses, 1)
    assert [traits_of(each).glasses for each in moved(z, glasses, 0)] == [0] * 5
    assert [traits_of(each).glasses for each in there] == [1] * 5
    assert np.allclose(moved(there, glasses, -1), moved(z, glasses, 0))


def test_ends_of_a_switch_are_the_means_of_normal_numbers_on_either_side():
    drawn = np.random.RandomState(3).standard_normal(400_000)
    beard = BY_NAME["Beard"]
    assert drawn[drawn < 0.75].mean() == pytest.approx(beard.start, abs=0.01)
    assert drawn[drawn > 0.75].mean() == pytest.approx(beard.end, abs=0.01)


def test_names_and_dimensions_are_used_once():
    assert len(BY_NAME) == len(ATTRIBUTES)
    assert len({attribute.dimension for attribute in ATTRIBUTES}) == len(ATTRIBUTES)


@pytest.mark.parametrize("name", ["Smile", "Skin tone", "Hair colour", "Hair length", "Glasses"])
def test_adding_a_direction_leads_to_the_w_of_the_changed_head(name):
    generator, attribute = distilled(), BY_NAME[name]
    (direction,) = (d for d in find_directions(generator, count=300) if d.name == name)
    assert (direction.group, direction.unit) == (attribute.group, attribute.unit)
    z = latents(200, seed=8)  # none of those it was found with
    with torch.no_grad():
        w = generator.map(as_tensor(moved(z, attribute, 0)))
        goal = generator.map(as_tensor(moved(z, attribute, 1)))
    left = (w + direction.vector - goal).norm(dim=-1).mean()
    # A network with fresh weights is far from linear, and a step of skin tone is not the same for all.
    assert left < 0.9 * (w - goal).norm(dim=-1).mean()


def test_the_mean_of_w_is_that_of_its_mapping():
    generator = distilled()
    with torch.no_grad():
        drawn = generator.map(as_tensor(latents(20_000, seed=5)))[:, 0]
    error = (finish.mean_w(generator, 20_000) - drawn.mean(0)).abs()
    assert (error < 6 * drawn.std(0) / 20_000**0.5).all()


def test_a_generator_whose_z_means_something_else_is_refused(tmp_path, capsys):
    with pytest.raises(SplatheadError, match="not distilled"):
        find_directions(small_generator())
    adversarial = distilled()
    adversarial.mapping_network.layers()[0].weight.data[:, 500] = 0.1
    path = tmp_path / "a.safetensors"
    save_generator(path, adversarial)
    assert directions.main(["--generator", str(path)]) == 2
    assert "not distilled" in capsys.readouterr().err
    assert not shipped_directions(path).exists()


def test_the_command_writes_directions_bound_to_the_generator(tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(path, distilled())
    assert directions.main(["--generator", str(path), "--count", "20"]) == 0
    generator = load_generator(path).generator
    read = read_directions(shipped_directions(path), weights_hash(generator), generator.w_dim)
    assert read == find_directions(generator, 20)
    assert {d.name for d in read} >= {
        "Skin tone", "Hair colour", "Hair length", "Beard", "Glasses", "Smile", "Open mouth",
        "Identity 2",
    }  # fmt: skip


def test_a_run_is_finished_by_one_command(tmp_path, capsys, monkeypatch):
    # Fewer latents, for speed.
    monkeypatch.setattr(finish, "mean_w", partial(finish.mean_w, count=10))
    monkeypatch.setattr(finish, "find_directions", partial(find_directions, count=20))
    state = DistillState.fresh(SETTINGS)
    state.step = 3
    save(state, SETTINGS, tmp_path)
    out = tmp_path / "demo.safetensors"
    assert finish.main(["--run", str(tmp_path), "--out", str(out)]) == 0

    loaded = load_generator(out)
    seen = 3 * SETTINGS.heads * SETTINGS.views
    assert (loaded.summary.licence, loaded.summary.images_seen) == ("Apache-2.0", seen)
    for name, tensor in state.average.state_dict().items():
        same = torch.equal(loaded.generator.state_dict()[name], tensor)
        assert same == (name != "mapping_network.w_avg"), name
    assert read_directions(shipped_directions(out), weights_hash(loaded.generator))

    assert finish.main(["--run", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "does not exist" in capsys.readouterr().err
