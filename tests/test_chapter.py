"""The chapter's models as `modelzero reproduce` shows them, against the chapter's own classes, written out here."""

import pytest
import torch
from torch import nn

import modelzero as mz
from modelzero.chapter import FashionMNISTModelV0 as OurV0
from modelzero.chapter import FashionMNISTModelV1 as OurV1
from modelzero.chapter import FashionMNISTModelV2 as OurV2
from modelzero.chapter import as_in_chapter, walk

FASHION = (1, 28, 28)


class FashionMNISTModelV0(nn.Module):
    def __init__(self, input_shape: int, hidden_units: int, output_shape: int):
        super().__init__()
        self.layer_stack = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features=input_shape, out_features=hidden_units),
            nn.Linear(in_features=hidden_units, out_features=output_shape),
        )

    def forward(self, x):
        return self.layer_stack(x)


class FashionMNISTModelV1(nn.Module):
    def __init__(self, input_shape: int, hidden_units: int, output_shape: int):
        super().__init__()
        self.layer_stack = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features=input_shape, out_features=hidden_units),
            nn.ReLU(),
            nn.Linear(in_features=hidden_units, out_features=output_shape),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor):
        return self.layer_stack(x)


class FashionMNISTModelV2(nn.Module):
    def __init__(self, input_shape: int, hidden_units: int, output_shape: int):
        super().__init__()
        self.block_1 = nn.Sequential(
            nn.Conv2d(in_channels=input_shape, out_channels=hidden_units, kernel_size=3, stride=1, padding=1),
            nn.ReLU(),
            nn.Conv2d(in_channels=hidden_units, out_channels=hidden_units, kernel_size=3, stride=1, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )
        self.block_2 = nn.Sequential(
            nn.Conv2d(hidden_units, hidden_units, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden_units, hidden_units, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features=hidden_units * 7 * 7, out_features=output_shape),
        )

    def forward(self, x: torch.Tensor):
        x = self.block_1(x)
        x = self.block_2(x)
        return self.classifier(x)


# Our name: the chapter's class, ours of the same name, and the number of inputs as the chapter passes it.
MODELS = {
    "model0": (FashionMNISTModelV0, OurV0, 784),
    "model1": (FashionMNISTModelV1, OurV1, 784),
    "tinyvgg": (FashionMNISTModelV2, OurV2, 1),
}


def plain(name):
    """The chapter's model, built by its own class."""
    kind, _, inputs = MODELS[name]
    torch.manual_seed(42)
    return kind(input_shape=inputs, hidden_units=10, output_shape=10)


@pytest.fixture(scope="module")
def few():
    """Ninety random images of the size of Fashion-MNIST's."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (90, *FASHION), generator=draws, dtype=torch.uint8)
    labels = torch.arange(90) % 10
    return mz.ImageData("few", mz.Split(images, labels), mz.Split(images[:40], labels[:40]), tuple("abcdefghij"))


@pytest.fixture(scope="module")
def sections(few, tmp_path_factory):
    """What the walk through the chapter shows, on a few images."""
    return list(walk(few, runs_dir=tmp_path_factory.mktemp("runs"), say=lambda _: None))


@pytest.mark.parametrize("name", MODELS)
def test_text_is_that_of_the_chapters_class(name):
    """Class, blocks, layers and their settings."""
    assert repr(as_in_chapter(name, FASHION, 10)) == repr(plain(name))


@pytest.mark.parametrize("name", MODELS)
def test_state_dict_is_that_of_the_chapters_class(name):
    """The same names in the same order, and the same numbers to the bit."""
    ours, expected = as_in_chapter(name, FASHION, 10).state_dict(), plain(name).state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", MODELS)
def test_all_three_models_are_shown_with_their_tensors(sections, name):
    """The text of the chapter's class, line by line, and each of its tensors with name, shape and first number."""
    model = plain(name)
    lines = [line for section in sections for line in section.lines]
    text = repr(model).splitlines()
    assert text in [lines[at : at + len(text)] for at in range(len(lines))]
    for key, tensor in model.state_dict().items():
        starts = [key, *str(list(tensor.shape)).split(), f"{tensor.flatten()[0]:.4f}"]
        assert starts in [line.split()[: len(starts)] for line in lines]


def test_titles_and_comparison_name_the_chapters_classes(sections):
    """Beside ours, which the runs have."""
    titles = [section.title for section in sections]
    for name, (kind, *_) in MODELS.items():
        assert f"Training {kind.__name__} (here {name}): 3 epochs, batches of 32" in titles
    assert [line.split()[0] for line in sections[-1].lines[1:4]] == [kind.__name__ for kind, *_ in MODELS.values()]


def test_figures_before_training_are_the_printed_ones(sections):
    """They depend on the seed only, not on the images: two shapes, a forward pass, and four tensors."""
    figures = [figure for section in sections for figure in section.figures]
    assert len(figures) == 33
    assert [figure.name for figure in figures[:7] if not figure.matches] == []


@pytest.mark.parametrize("name", MODELS)
def test_trained_weights_fit_into_the_chapters_class(sections, few, name):
    """By its names, and there they give the logits of the run."""
    run = next(section.run for section in sections if section.run and section.run.record.recipe["model"] == name)
    model = plain(name)
    model.load_state_dict(MODELS[name][1](run.model).state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(model(few.test.images / 255), run.test_logits, rtol=1e-4, atol=1e-5)
