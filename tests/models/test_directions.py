"""Named directions: bit for bit back, bound to their weights, each fault one sentence."""

import json
import math
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from models.checkpoint import convert, inspect, load_generator, save_generator
from models.directions import (
    HEADER,
    Direction,
    read_directions,
    shipped_directions,
    weights_hash,
    write_directions,
)
from renderer.errors import CheckpointError, LoadError, SaveError
from tests.models.published import write_published
from tests.models.small import small_config, small_generator

W = 14  # of the small generator
HASH, OTHER_HASH = "5a" * 32, "0b" * 32


def some(seed=3):
    """One direction for all blocks and one for each."""
    draw = torch.Generator().manual_seed(seed)
    return (
        Direction("Smile", "Expression", torch.randn(W, generator=draw), "from calm to a laugh", -1, 2),
        Direction("Brow, left ψ", "Expression", torch.randn(4, W, generator=draw) / 3),
    )  # fmt: skip


@pytest.fixture(params=["safetensors", "json"])
def path(request, tmp_path):
    return tmp_path / f"héad.directions.{request.param}"


# ---- which network


def test_a_published_pickle_and_what_it_is_converted_to_have_the_same_hash(tmp_path):
    config = replace(small_config(), heads=1)  # as many as the shapes imply
    generator = small_generator(config=config)
    published, ours = tmp_path / "a.pkl", tmp_path / "b.safetensors"
    write_published(
        published, generator.state_dict(), ["mapping_network.w_avg"], {"img_resolution": 64}
    )
    convert(published, ours)
    loaded = [load_generator(file) for file in (published, ours)]
    assert loaded[0].digest != loaded[1].digest  # of the files
    assert {weights_hash(each.generator) for each in loaded} == {weights_hash(generator)}
    assert weights_hash(generator.state_dict()) == weights_hash(generator)


def test_the_hash_tells_values_shapes_and_names_apart():
    values = torch.arange(6.0)
    states = [
        {"a": values},
        {"b": values},
        {"a": values.view(2, 3)},
        {"a": values.view(3, 2)},
        {"a": values[:3], "b": values[3:]},
        {"a": values.nextafter(torch.tensor(9.0))},
    ]
    assert len({weights_hash(state) for state in states}) == len(states)


def test_the_hash_knows_neither_the_order_of_tensors_nor_their_strides():
    a, b = torch.randn(5, 3), torch.randn(7)
    assert weights_hash({"a": a, "b": b}) == weights_hash({"b": b, "a": a.T.contiguous().T})


def test_the_least_change_of_one_weight_is_another_hash():
    generator = small_generator()
    before = weights_hash(generator)
    with torch.no_grad():
        generator.w_avg[3] = generator.w_avg[3].nextafter(torch.tensor(math.inf))
    assert weights_hash(generator) != before


# ---- there and back


def test_what_is_written_is_read_back_bit_for_bit(path):
    write_directions(path, some(), HASH)
    read = read_directions(path, HASH, W)
    assert read == some()
    assert [torch.equal(a.vector, b.vector) for a, b in zip(read, some(), strict=True)] == [
        True
    ] * 2
    assert (read[0].low, read[0].high, read[0].unit) == (-1, 2, "from calm to a laugh")


def test_a_file_without_directions_is_one(path):
    write_directions(path, (), HASH)
    assert read_directions(path, HASH, W) == ()


def test_directions_are_equal_by_value():
    assert some() == some()
    assert {*some()} == {*some()}
    smile = some()[0]
    assert smile != replace(smile, vector=-smile.vector)
    assert smile != replace(smile, high=3.0)


def test_shipped_directions_lie_beside_their_checkpoint(tmp_path):
    found = shipped_directions(tmp_path / "ffhq.v2.pkl")
    assert found == tmp_path / "ffhq.v2.directions.safetensors"


# ---- faults


def sentence_of(path, weights=HASH, w_dim=W):
    with pytest.raises(LoadError) as caught:
        read_directions(path, weights, w_dim)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.endswith(".")
    assert "\n" not in text
    return text


def rewrite(path, change, vectors=None):
    """Write a file of `some()` with another header."""
    entries = [
        {"name": d.name, "group": d.group, "unit": d.unit, "low": d.low, "high": d.high}
        for d in some()
    ]
    vectors = [d.vector for d in some()] if vectors is None else vectors
    header = {"format": 1, "weights": HASH, "directions": entries}
    change(header)
    if path.suffix == ".json":
        for entry, vector in zip(entries, vectors, strict=True):
            entry["vector"] = vector.tolist()
        path.write_text(json.dumps({HEADER: header}))
    else:
        tensors = {str(i): vector for i, vector in enumerate(vectors)}
        safetensors.torch.save_file(tensors, path, {HEADER: json.dumps(header)})


def test_directions_of_another_generator_are_refused(path):
    write_directions(path, some(), HASH)
    assert "another generator" in sentence_of(path, OTHER_HASH)


def test_directions_of_another_width_are_refused(path):
    write_directions(path, some(), HASH)
    assert "14 wide" in sentence_of(path, w_dim=15)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda h: h.pop("weights"), "weights"),
        (lambda h: h.update(weights="latest"), "which weights"),
        (lambda h: h.update(format=2), "later version"),
        (lambda h: h.pop("directions"), "directions"),
        (lambda h: h["directions"].pop() and None, "damaged"),
        (lambda h: h["directions"][0].pop("low"), "low"),
        (lambda h: h["directions"][0].update(low=5), "range"),
        (lambda h: h["directions"][0].update(high="wide"), "damaged"),
        (lambda h: h["directions"][0].update(name=""), "readable"),
        (lambda h: h["directions"][0].update(name="a\nb"), "readable"),
        (lambda h: h["directions"][0].update(unit=7), "text"),
        (lambda h: h["directions"][0].update(name=h["directions"][1]["name"]), "two directions"),
    ],
)
def test_a_wrong_header_is_told_in_a_sentence(tmp_path, change, told):
    path = tmp_path / "a.safetensors"
    rewrite(path, lambda header: None)
    assert read_directions(path, HASH) == some()
    rewrite(path, change)
    assert told in sentence_of(path)


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        ([torch.full((W,), math.nan), torch.zeros(W)], "no numbers"),
        ([torch.zeros(W), torch.full((4, W), -math.inf)], "no numbers"),
        ([torch.zeros(W), torch.zeros(W + 1)], "one width"),
        ([torch.zeros(W), torch.zeros(2, 2, W)], "shape"),
        ([torch.zeros(W), torch.zeros(0)], "shape"),
    ],
)
def test_wrong_vectors_are_told_in_a_sentence(path, vectors, told):
    rewrite(path, lambda header: None, vectors)
    assert told in sentence_of(path)


def test_vectors_of_another_precision_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    rewrite(path, lambda header: None, [torch.zeros(W), torch.zeros(W, dtype=torch.int32)])
    assert "int32" in sentence_of(path)


@pytest.mark.parametrize("length", [0, 5, 60, 300])
def test_a_cut_file_is_told_in_a_sentence(path, length):
    write_directions(path, some(), HASH)
    path.write_bytes(path.read_bytes()[:length])
    sentence_of(path)


@pytest.mark.parametrize("text", ["[]", "3", "null", "[" * 100_000, '{"a": NaN}', "\0"])
def test_other_json_is_told_in_a_sentence(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    sentence_of(path)


def test_a_missing_file_and_a_folder_are_told_in_a_sentence(tmp_path):
    assert "does not exist" in sentence_of(tmp_path / "none.safetensors")
    sentence_of(tmp_path)


def test_a_checkpoint_is_no_file_of_directions_and_the_reverse(tmp_path):
    checkpoint, directions = tmp_path / "g.safetensors", tmp_path / "d.safetensors"
    save_generator(checkpoint, small_generator())
    write_directions(directions, some(), HASH)
    assert "no directions" in sentence_of(checkpoint)
    with pytest.raises(CheckpointError, match="holds no CGS generator"):
        inspect(directions)


def test_what_does_not_belong_together_is_not_written(path):
    smile, brow = some()
    for wrong in ((smile, smile), (smile, replace(brow, vector=torch.ones(W + 1)))):
        with pytest.raises(ValueError, match="directions"):
            write_directions(path, wrong, HASH)
    with pytest.raises(ValueError, match="hash"):
        write_directions(path, some(), "newest")
    assert not path.exists()


def test_a_failed_save_is_a_sentence(tmp_path):
    with pytest.raises(SaveError):
        write_directions(tmp_path / "no such folder" / "a.safetensors", some(), HASH)
