"""Beginning with what others made: a generator of ours, a run's checkpoint, a published file."""

import dataclasses

import pytest
import torch

from models.checkpoint import save_generator
from models.discriminator import Discriminator
from renderer.errors import CheckpointError
from tests.models.published import write_published
from tests.models.small import random_z, small_config, small_generator
from tests.training.heads import SMALL, PaintedHeads
from training.launch import Processes
from training.loop import train
from training.start import resolution_of, start_from
from training.state import Checkpoints, TrainingState, draw_networks

CPU = torch.device("cpu")
CONFIG = dataclasses.replace(SMALL, resolution=32)  # of `small_generator`


def published(path, *, optimizers=True, spoil=lambda entries: None):
    """Write what a training wrote: G, G_ema, D with a block never used, and Adam's moments."""
    average, generator = small_generator(seed=1, levels=2), small_generator(seed=1, levels=2)
    _, judge = draw_networks(CONFIG, average.config, CONFIG.discriminator_config())
    parameters = dict(judge.named_parameters())
    unused = {"b8_pose.conv0.weight": torch.ones(2, 3), "b8_pose.conv0.bias": torch.ones(2)}
    names = list(parameters)
    middle = names.index("b4.conv.weight")
    state = {name: judge.state_dict()[name] for name in names[:middle]}
    state |= unused | {name: judge.state_dict()[name] for name in names[middle:]}
    extra = {"cur_nimg": 7000}
    if optimizers:
        extra |= {
            "Gmain_opt": adam(
                dict(generator.named_parameters()), used=lambda name: "anchors" not in name
            ),
            "Dmain_opt": adam(state, used=lambda name: "pose" not in name),
        }
        spoil(extra)
    write_published(
        path, average.state_dict(), buffers={"mapping_network.w_avg"},
        init_kwargs={"img_resolution": 32}, discriminator=state, extra=extra,
    )  # fmt: skip
    return average, judge


def adam(parameters, used):
    """Make a state dict as torch.optim.Adam writes it: numbered, without what has no gradient."""
    return {
        "state": {
            number: {
                "step": torch.tensor(40.0),
                "exp_avg": torch.full_like(tensor, number + 0.5).detach(),
                "exp_avg_sq": torch.full_like(tensor, number + 0.25).detach(),
            }
            for number, (name, tensor) in enumerate(parameters.items())
            if used(name)
        },
        "param_groups": [{"lr": 0.0025, "params": list(range(len(parameters)))}],
    }


def test_a_generator_of_ours_begins_with_its_weights_and_a_fresh_discriminator(tmp_path):
    source = small_generator(seed=4, levels=2)
    save_generator(tmp_path / "g.safetensors", source)

    state, taken = start_from(tmp_path / "g.safetensors").load(CONFIG, CPU)

    z = random_z(source)
    assert torch.equal(state.generator.map(z), source.map(z))
    assert torch.equal(state.average.map(z), source.map(z))
    assert all(parameter.requires_grad for parameter in state.generator.parameters())
    assert taken == "its generator; the discriminator is fresh"


def test_a_published_file_gives_all_networks_and_both_optimisers(tmp_path):
    average, judge = published(tmp_path / "p.pkl")

    state, taken = start_from(tmp_path / "p.pkl").load(CONFIG, CPU)

    found = state.discriminator.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in judge.state_dict().items())
    own = state.average.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in average.state_dict().items())
    assert "Gmain_opt" in taken
    assert "Dmain_opt" in taken
    # The moments follow the names, not the numbers: D's file has two parameters that ours lacks.
    names = list(dict(judge.named_parameters()))
    after = state.discriminator.b4.out.bias
    number = names.index("b4.out.bias") + 2
    assert state.discriminator_optimizer.state[after]["exp_avg"].unique().tolist() == [number + 0.5]
    first = state.discriminator.b32.conv0.weight
    number = names.index("b32.conv0.weight")
    assert state.discriminator_optimizer.state[first]["exp_avg_sq"].unique().tolist() == [
        number + 0.25
    ]
    assert state.generator_optimizer.state[state.generator.point_gen._xyz]["step"] == 40
    unused = state.generator.point_gen.anchors["xyz"][1].weight
    assert unused not in state.generator_optimizer.state


def test_a_published_file_without_optimisers_begins_with_fresh_ones(tmp_path):
    published(tmp_path / "p.pkl", optimizers=False)

    state, taken = start_from(tmp_path / "p.pkl").load(CONFIG, CPU)

    assert not state.generator_optimizer.state
    assert "optimiser" not in taken


def test_moments_of_another_network_are_refused(tmp_path):
    def spoil(entries):
        entries["Dmain_opt"]["state"][3]["exp_avg"] = torch.zeros(5, 5)

    published(tmp_path / "p.pkl", spoil=spoil)

    with pytest.raises(CheckpointError, match=r"Dmain_opt that is not its network's"):
        start_from(tmp_path / "p.pkl").load(CONFIG, CPU)


def test_a_generator_of_another_size_is_refused(tmp_path):
    save_generator(tmp_path / "g.safetensors", small_generator(levels=2))

    with pytest.raises(CheckpointError, match="of 32 px, and the settings say 16"):
        start_from(tmp_path / "g.safetensors").load(SMALL, CPU)


def test_a_run_that_began_with_a_published_file_goes_on_with_its_shape(tmp_path):
    published(tmp_path / "p.pkl")
    assert (
        small_config(levels=2) != CONFIG.generator_config()
    )  # its shape is not what the settings say

    for kimg in (0.008, 0.016):
        steps = train(
            tmp_path / "run", dataclasses.replace(CONFIG, kimg=kimg), PaintedHeads(resolution=32),
            Processes(0, 1, CPU), start=start_from(tmp_path / "p.pkl"), cache=tmp_path,
        )  # fmt: skip
        for _ in steps:
            pass

    found, _ = Checkpoints(tmp_path / "run" / "checkpoints").load_newest(CONFIG, CPU)
    assert found.images == 16
    assert found.generator.config.features == small_config(levels=2).features


def test_a_runs_checkpoint_begins_another_run_from_its_weights_and_optimisers(tmp_path):
    state = TrainingState.fresh(SMALL, CPU)
    state.discriminator(torch.randn(4, 3, 16, 16), torch.randn(4, 25)).sum().backward()
    state.discriminator_optimizer.step()
    state.images, state.best = 800, 0.5
    folder = Checkpoints(tmp_path)
    path = folder.save(state, SMALL)

    found, _ = start_from(path).load(dataclasses.replace(SMALL, generator_lr=0.1), CPU)

    saved, own = state.tensors(), found.tensors()
    assert saved.keys() == own.keys()
    assert all(torch.equal(saved[name], own[name]) for name in saved)
    assert (found.images, found.best) == (0, float("inf"))
    assert found.generator_optimizer.param_groups[0]["lr"] == 0.1


def test_the_size_of_a_start_is_known_without_building_it(tmp_path):
    save_generator(tmp_path / "ours.safetensors", small_generator(levels=2))
    published(tmp_path / "published.pkl")
    state = TrainingState.fresh(SMALL, CPU)
    of_run = Checkpoints(tmp_path).save(state, SMALL)

    names = (tmp_path / "ours.safetensors", tmp_path / "published.pkl", of_run)
    assert [resolution_of(path) for path in names] == [32, 32, 16]
    (tmp_path / "none.pkl").write_bytes(b"none")
    with pytest.raises(CheckpointError):
        resolution_of(tmp_path / "none.pkl")


def test_a_file_that_is_nothing_of_this_is_refused(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"nothing")

    with pytest.raises(CheckpointError):
        start_from(tmp_path / "x.pkl").load(SMALL, CPU)


def test_a_discriminator_in_a_file_is_ours(tmp_path):
    _, judge = published(tmp_path / "p.pkl")
    state, _ = start_from(tmp_path / "p.pkl").load(CONFIG, CPU)

    images, labels = torch.randn(4, 3, 32, 32), torch.randn(4, 25)
    assert isinstance(state.discriminator, Discriminator)
    assert torch.equal(state.discriminator(images, labels), judge(images, labels))
