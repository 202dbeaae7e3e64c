"""The chapter's models, against the digits that the chapter prints."""

import pytest
import torch
from torch import nn

from modelzero.errors import ModelError
from modelzero.models.linear import model0
from modelzero.models.perceptron import model1
from modelzero.models.tinyvgg import tinyvgg

FASHION = (1, 28, 28)

# What the chapter prints after torch.manual_seed(42), to four decimals.
FORWARD = [-0.0315, 0.3171, 0.0531, -0.2525, 0.5959, 0.2112, 0.3233, 0.2694, -0.1004, 0.0157]
FIRST_WEIGHT = {  # the first and last three numbers of the rows that are printed
    0: [0.0273, 0.0296, -0.0084, -0.0142, 0.0093, 0.0135],
    1: [-0.0188, -0.0354, 0.0187, -0.0106, -0.0001, 0.0115],
    2: [-0.0008, 0.0017, 0.0045, -0.0127, -0.0188, 0.0059],
    7: [-0.0116, 0.0273, -0.0344, 0.0176, 0.0283, -0.0011],
    8: [-0.0230, 0.0257, 0.0291, -0.0187, -0.0087, 0.0001],
    9: [0.0176, -0.0147, 0.0053, -0.0336, -0.0221, 0.0205],
}
FIRST_BIAS = [-0.0093, 0.0283, -0.0033, 0.0255, 0.0017, 0.0037, -0.0302, -0.0123, 0.0018, 0.0163]
SECOND_WEIGHT = [
    [0.0614, -0.0687, 0.0021, 0.2718, 0.2109, 0.1079, -0.2279, -0.1063, 0.2019, 0.2847],
    [-0.1495, 0.1344, -0.0740, 0.2006, -0.0475, -0.2514, -0.3130, -0.0118, 0.0932, -0.1864],
    [0.2488, 0.1500, 0.1907, 0.1457, -0.3050, -0.0580, 0.1643, 0.1565, -0.2877, -0.1792],
    [0.2305, -0.2618, 0.2397, -0.0610, 0.0232, 0.1542, 0.0851, -0.2027, 0.1030, -0.2715],
    [-0.1596, -0.0555, -0.0633, 0.2302, -0.1726, 0.2654, 0.1473, 0.1029, 0.2252, -0.2160],
    [-0.2725, 0.0118, 0.1559, 0.1596, 0.0132, 0.3024, 0.1124, 0.1366, -0.1533, 0.0965],
    [-0.1184, -0.2555, -0.2057, -0.1909, -0.0477, -0.1324, 0.2905, 0.1307, -0.2629, 0.0133],
    [0.2727, -0.0127, 0.0513, 0.0863, -0.1043, -0.2047, -0.1185, -0.0825, 0.2488, -0.2571],
    [0.0425, -0.1209, -0.0336, -0.0281, -0.1227, 0.0730, 0.0747, -0.1816, 0.1943, 0.2853],
    [-0.1310, 0.0645, -0.1171, 0.2168, -0.0245, -0.2820, 0.0736, 0.2621, 0.0012, -0.0810],
]
SECOND_BIAS = [-0.0087, 0.1791, 0.2712, -0.0791, 0.1685, 0.1762, 0.2825, 0.2266, -0.2612, -0.2613]


def printed(tensor):
    """Round to the four decimals that torch prints; tolist, since 0.0273 is no float32."""
    return [printed(row) if isinstance(row, list) else round(row, 4) for row in tensor.tolist()]


@pytest.fixture
def chapter():
    """Model 0 as the chapter builds it; torch's default generator stands where it does in the chapter."""
    torch.manual_seed(42)
    return model0(FASHION, 10)


def test_flatten_gives_784_numbers():
    """The first layer turns [1, 28, 28] into [1, 784], as the chapter shows."""
    assert model0(FASHION, 10)[0](torch.zeros(FASHION)).shape == (1, 784)


def test_model0_has_the_printed_layers():
    """Flatten, Linear(784, 10), Linear(10, 10), both with bias, and nothing else."""
    assert [repr(layer) for layer in model0(FASHION, 10)] == [
        "Flatten(start_dim=1, end_dim=-1)",
        "Linear(in_features=784, out_features=10, bias=True)",
        "Linear(in_features=10, out_features=10, bias=True)",
    ]


@pytest.mark.parametrize("row", FIRST_WEIGHT)
def test_model0_first_weight_is_the_printed_one(chapter, row):
    """Seed 42 gives the first and last three weights of each printed row."""
    weights = chapter[1].weight[row]
    assert printed(torch.cat([weights[:3], weights[-3:]])) == FIRST_WEIGHT[row]


def test_model0_first_bias_is_the_printed_one(chapter):
    """Seed 42 gives the printed bias of the first layer."""
    assert printed(chapter[1].bias) == FIRST_BIAS


def test_model0_second_weight_is_the_printed_one(chapter):
    """Seed 42 gives all hundred printed weights of the second layer."""
    assert [printed(row) for row in chapter[2].weight] == SECOND_WEIGHT


def test_model0_second_bias_is_the_printed_one(chapter):
    """Seed 42 gives the printed bias of the second layer."""
    assert printed(chapter[2].bias) == SECOND_BIAS


def test_model0_forward_of_the_chapters_dummy_picture(chapter):
    """A torch.rand image drawn right after building gives the printed logits: building draws no number too many."""
    assert [printed(row) for row in chapter(torch.rand(1, 1, 28, 28))] == [FORWARD]


def test_model1_is_model0_with_a_relu_after_each_layer():
    """The layers are the chapter's, the ReLU that clips the logits last."""
    assert [type(layer) for layer in model1(FASHION, 10)] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]


def test_model1_has_the_weights_of_model0():
    """A ReLU draws nothing, so the same seed gives both models the same weights."""
    torch.manual_seed(7)
    zero = model0(FASHION, 10, 5)
    torch.manual_seed(7)
    one = model1(FASHION, 10, 5)
    assert all(torch.equal(a, b) for a, b in zip(zero.parameters(), one.parameters(), strict=True))


def test_model1_logits_are_never_negative():
    """The last ReLU clips them."""
    assert model1(FASHION, 10)(torch.randn(50, *FASHION)).min() >= 0


def test_tinyvgg_has_the_chapters_layers():
    """Two blocks of convolution, ReLU, convolution, ReLU, pooling; then a linear layer on 10 x 7 x 7 numbers."""
    block = [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    found = [type(layer) for layer in tinyvgg(FASHION, 10).modules() if not list(layer.children())]
    assert found == [*block, *block, nn.Flatten, nn.Linear]


def test_tinyvgg_convolutions_keep_height_and_width():
    """3x3, stride 1, padding 1, as the chapter has them."""
    convolutions = [layer for layer in tinyvgg(FASHION, 10).modules() if isinstance(layer, nn.Conv2d)]
    assert [(c.kernel_size, c.stride, c.padding) for c in convolutions] == [((3, 3), (1, 1), (1, 1))] * 4


@pytest.mark.parametrize(
    ("image_shape", "classes", "hidden_units", "features"),
    [
        ((1, 28, 28), 10, 10, 490),
        ((3, 32, 32), 100, 8, 8 * 8 * 8),
        ((1, 8, 8), 10, 10, 40),
        ((1, 4, 4), 2, 1, 1),
        ((4, 5, 7), 3, 6, 6),
        ((2, 30, 11), 7, 3, 3 * 7 * 2),
    ],
)
def test_tinyvgg_fits_any_picture(image_shape, classes, hidden_units, features):
    """Two poolings halve height and width twice, rounding down; the last layer is as wide as what they leave."""
    model = tinyvgg(image_shape, classes, hidden_units)
    assert (model[-1].in_features, model(torch.zeros(3, *image_shape)).shape) == (features, (3, classes))


@pytest.mark.parametrize("make", [model0, model1])
def test_linear_models_fit_any_picture(make):
    """Channels, height, width, classes and hidden units are all free."""
    assert make((3, 2, 5), 4, 6)(torch.zeros(2, 3, 2, 5)).shape == (2, 4)


@pytest.mark.parametrize("size", [(3, 28), (28, 3), (1, 1), (2, 2)])
def test_tinyvgg_refuses_pictures_that_its_poolings_leave_nothing_of(size):
    """Below 4x4 pixels the error names the size and what can be taken instead."""
    with pytest.raises(ModelError, match=f"{size[0]}x{size[1]} pixels .* at least 4x4; use a linear model"):
        tinyvgg((1, *size), 10)
