"""What is shown of a value: facts, pictures, histograms, trees."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from splatviz_app.answers import Plot, View, histogram_of, image_of, view_of
from tests.conftest import some_splats

N = 50  # splats
ROOT = frozenset({()})


def look(value: object, plot: Plot = Plot(), opened: frozenset = ROOT, splats: int = N) -> View:  # noqa: B008
    selected = np.arange(splats) % 5 == 0
    return view_of(value, plot, opened, selected)


def labels(view: View) -> list[str]:
    return [child.label for child in view.tree.children]


# ---- scalars and facts


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (7, "int", "7"),
        (True, "bool", "True"),
        ("a\nb", "str", "'a\\nb'"),
        (None, "NoneType", "None"),
        (torch.tensor(2.5), "torch.Tensor", "2.5"),
        (np.float64(0.125), "numpy.float64", "np.float64(0.125)"),
        (torch.float32, "torch.dtype", "torch.float32"),
    ],
)
def test_a_scalar_is_one_line(value, kind, text):
    view = look(value)

    assert (view.kind, view.text) == (kind, text)
    assert view.facts is view.image is view.histogram is view.tree is None


def test_the_facts_of_a_tensor_leave_out_what_is_no_number():
    values = torch.tensor([[1.0, -2.0, math.nan], [4.0, math.inf, math.nan]], dtype=torch.bfloat16)

    facts = look(values).facts

    assert facts.shape == (2, 3)
    assert (facts.dtype, facts.device) == ("bfloat16", "cpu")
    assert (facts.low, facts.high, facts.mean) == (-2.0, 4.0, 1.0)
    assert facts.deviation == pytest.approx(math.sqrt(6))
    assert (facts.nans, facts.infinities) == (2, 1)
    assert facts.head.startswith("[ 1., -2., nan,")


def test_the_facts_of_nothing_have_no_range():
    facts = look(torch.zeros(N, 0, 3)).facts

    assert facts.shape == (N, 0, 3)
    assert facts.low is facts.high is facts.mean is None


def test_long_data_shows_its_first_numbers():
    head = look(np.arange(100)).facts.head

    assert head == "[0, 1, 2, 3, 4, 5, …]"


def test_a_tensor_that_is_recorded_on_or_sparse_is_looked_at_as_well():
    recorded = torch.ones(3, requires_grad=True) * 2

    assert look(recorded).facts.mean == 2
    assert "[2 x 2]" in look(torch.eye(2).to_sparse()).text


# ---- histograms


def test_a_histogram_counts_every_number_once_and_says_what_it_left_out():
    numbers = np.array([0.0, 0.1, 0.1, 0.9, 1.0, np.nan, np.inf, -np.inf])

    histogram = histogram_of(numbers, Plot(bins=4))

    assert histogram.counts.tolist() == [3, 0, 0, 2]
    np.testing.assert_allclose(histogram.edges, [0, 0.25, 0.5, 0.75, 1])
    assert histogram.left_out == 3


def test_a_logarithmic_histogram_has_equal_factors_and_leaves_out_what_is_not_positive():
    numbers = np.array([0.0, -1.0, 0.001, 0.01, 0.05, 1.0])

    histogram = histogram_of(numbers, Plot(bins=3, log=True))

    np.testing.assert_allclose(histogram.edges, [0.001, 0.01, 0.1, 1.0])
    assert histogram.counts.sum() == 4
    assert histogram.counts[2] == 1
    assert histogram.left_out == 2


@pytest.mark.parametrize("log", [False, True])
def test_equal_numbers_have_a_histogram_too(log):
    histogram = histogram_of(np.full(9, 3.0), Plot(bins=5, log=log))

    assert histogram.counts.sum() == 9
    assert histogram.edges[0] < 3 < histogram.edges[-1]


def test_without_a_number_there_is_no_histogram():
    assert histogram_of(np.full(9, np.nan), Plot()) is None
    assert histogram_of(np.full(9, -1.0), Plot(log=True)) is None
    assert histogram_of(np.array([-1e308, 1e308]), Plot()) is None


def test_per_splat_data_is_plotted_by_column_and_can_be_selected_from():
    values = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))

    together = look(values)
    second = look(values, Plot(bins=7, column=1))

    assert together.columns == second.columns == 3
    assert together.per_splat is None
    assert together.histogram.counts.sum() == 3 * N
    np.testing.assert_array_equal(second.per_splat, values[:, 1].numpy())
    assert len(second.histogram.counts) == 7
    assert second.histogram.counts.sum() == N


def test_the_selected_splats_are_counted_apart():
    values = torch.arange(N, dtype=torch.float32)

    histogram = look(values, Plot(bins=2)).histogram

    assert histogram.counts.tolist() == [25, 25]
    assert histogram.chosen.tolist() == [5, 5]  # 0, 5, 10, 15, 20 and the rest
    assert look(torch.rand(N + 1)).histogram.chosen is None


def test_one_number_per_splat_needs_no_column():
    view = look(torch.rand(N, 1), Plot(column=2))

    assert view.per_splat.shape == (N,)
    assert not view.per_splat.flags.writeable


def test_a_mask_of_splats_can_be_selected():
    mask = torch.arange(N) % 3 == 0

    view = look(mask)

    assert view.per_splat.dtype == np.bool_
    assert view.per_splat.sum() == 17
    assert view.histogram is None
    assert look(mask, splats=N + 1).per_splat is None


def test_a_plain_list_of_numbers_is_plotted():
    assert look([0.5] * 20).histogram.counts.sum() == 20
    assert look(["a"] * 20).histogram is None


# ---- pictures


def test_a_colour_picture_is_the_same_in_both_orders_of_its_axes():
    planes = torch.rand(3, 9, 12, generator=torch.Generator().manual_seed(0))

    first, second = look(planes).image, look(planes.permute(1, 2, 0)).image

    assert first.size == (12, 9)
    assert first.pixels.shape == (9, 12, 4)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    expected = (planes[:, 4, 7].numpy() * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(first.pixels[4, 7, :3], expected)
    assert (first.pixels[..., 3] == 255).all()
    assert first.note == ""


def test_a_single_plane_is_stretched_from_black_to_white_and_none_is_transparent():
    plane = np.full((8, 10), 2.0)
    plane[0, 0], plane[1, 1], plane[2, 2] = 4.0, 3.0, np.nan

    image = image_of(plane)

    assert image.pixels[0, 0].tolist() == [255, 255, 255, 255]
    assert image.pixels[1, 1].tolist() == [128, 128, 128, 255]
    assert image.pixels[3, 3].tolist() == [0, 0, 0, 255]
    assert image.pixels[2, 2, 3] == 0
    assert image.note == "black 2, white 4"


def test_colours_out_of_range_are_cut_off_and_told():
    assert "cut off" in image_of(np.full((3, 8, 8), 1.5)).note


def test_a_large_picture_is_averaged_down():
    plane = np.zeros((1300, 700), np.float32)
    plane[::3] = 1.0

    image = image_of(plane)

    assert image.size == (700, 1300)
    assert image.pixels.shape == (433, 233, 4)
    assert abs(int(image.pixels[..., 0].mean()) - 85) <= 1


def test_bytes_are_a_picture_as_they_are():
    rgba = np.zeros((8, 9, 4), np.uint8)
    rgba[2, 3] = (10, 20, 30, 40)

    assert image_of(rgba).pixels[2, 3].tolist() == [10, 20, 30, 40]


@pytest.mark.parametrize("shape", [(N, 3), (N, 16), (2, 9, 9), (3, 3), (5000, 9)])
def test_what_has_not_the_shape_of_a_picture_is_none(shape):
    assert look(torch.rand(shape)).image is None


# ---- trees


@dataclass
class Box:
    side: float
    inner: object
    reads: int = 0

    @property
    def area(self) -> float:
        self.reads += 1
        return self.side**2

    def grow(self, factor: float) -> None:
        self.side *= factor


def test_an_object_is_a_tree_of_data_properties_and_methods():
    view = look(Box(2.0, {"a": 1}))

    assert labels(view) == [".inner", ".reads", ".side", ".area", ".grow"]
    inner, _, side, area, grow = view.tree.children
    assert inner.can_open
    assert inner.children is None
    assert (side.kind, side.text, side.can_open) == ("float", "2.0", False)
    assert area.kind == "property"
    assert grow.text == "grow(factor)"


def test_a_property_is_computed_only_when_it_is_opened():
    box = Box(3.0, None)

    look(box)
    assert box.reads == 0
    view = look(box, opened=frozenset({(), (".area",)}))

    assert box.reads == 1
    area = next(child for child in view.tree.children if child.label == ".area")
    assert area.text == "9.0"


def test_only_what_is_open_is_looked_into():
    nested = {"a": {"b": {"c": 1}}}

    view = look(nested, opened=frozenset({(), ("['a']",)}))

    inner = view.tree.children[0]
    assert [child.label for child in inner.children] == ["['b']"]
    assert inner.children[0].children is None


def test_a_tree_ends_where_it_would_not():
    endless: list = []
    endless.append(endless)
    opened = frozenset(("[0]",) * depth for depth in range(30))

    node, depth = look(endless, opened=opened).tree, 0
    while node.children:
        node, depth = node.children[0], depth + 1

    assert depth == 8


def test_of_many_children_the_first_are_listed():
    view = look({i: i for i in range(1000)})

    assert len(view.tree.children) == 200
    assert view.tree.more == 800


def test_a_tensor_in_a_tree_opens_to_its_facts():
    view = look(some_splats(9), opened=frozenset({(), (".means",)}), splats=9)

    means = next(child for child in view.tree.children if child.label == ".means")
    assert means.text == "[9 x 3] float32"
    assert [child.label for child in means.children][:4] == ["low", "high", "mean", "deviation"]
    assert any(child.label == ".scales" and "float32" in child.text for child in view.tree.children)


def test_a_property_that_raises_and_a_repr_that_raises_are_told_of():
    class Bad:
        @property
        def broken(self) -> int:
            raise ValueError("not today")

        def __repr__(self) -> str:
            raise ValueError("no name")

    view = look(Bad(), opened=frozenset({(), (".broken",)}))

    assert "Bad" in view.text
    assert view.tree.children[0].text == "not today"


def test_named_tuples_and_modules_have_names():
    assert labels(look(namedtuple("Pair", "left right")(1, 2))) == [".left", ".right"]
    assert ".pi" in labels(look(math))
    assert look(math).text == "module math"
