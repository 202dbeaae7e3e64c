"""What all models share that are fitted in one go."""

import inspect

import pytest
import torch
from safetensors.torch import load_file, save_file

import modelzero as mz
from modelzero.models.asking import predict_logits
from modelzero.models.fitted import Fitted, to_pixels
from modelzero.models.forest import Forest
from modelzero.models.neighbours import NearestNeighbours
from modelzero.models.trivial import Centroid, Majority

MODELS = [Majority, Centroid, NearestNeighbours, Forest]


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def make(request):
    """Give each of the models in turn; small forests do as well as large ones here."""

    def build(image_shape=(1, 8, 8), classes=10):
        return request.param(image_shape, classes, **({"trees": 5} if request.param is Forest else {}))

    return build


def fitted(make, split, seed=0, classes=10):
    model = make(tuple(split.images.shape[1:]), classes)
    model.fit(split, seed)
    return model


def to_float(images):
    return images.float() / 255


def coloured(n, seed=0):
    """Random colour images that are no squares, with labels of three classes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3, 5, 4), generator=generator, dtype=torch.uint8)
    return mz.Split(images, torch.arange(n) % 3)


def test_fitted_is_itself_no_model():
    """The base class leaves fitting to those that inherit from it."""
    with pytest.raises(NotImplementedError):
        Fitted((1, 8, 8), 10).fit(coloured(3), seed=0)


def test_has_no_parameters(make, digits):
    """What was learned lies in buffers: no gradient step can change it."""
    assert list(fitted(make, digits.train).parameters()) == []


def test_logits_are_finite_float32_for_each_class(make, digits):
    """[B, classes], as from every model."""
    logits = fitted(make, digits.train)(to_float(digits.test.images[:7]))
    assert (logits.shape, logits.dtype, bool(logits.isfinite().all())) == ((7, 10), torch.float32, True)


def test_stored_model_gives_the_same_logits(make, digits, tmp_path):
    """A round trip through safetensors and a new model keeps every bit of every buffer and logit."""
    model = fitted(make, digits.train)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = make()
    again.load(load_file(tmp_path / "model.safetensors"))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(predict_logits(again, digits.test.images), predict_logits(model, digits.test.images))


def test_load_refuses_other_tensors(make, refuses):
    """The message names what was found and what is needed."""
    name = next(name for name, _ in make().named_buffers())
    with refuses(mz.ModelError, "weight", name, type(make()).__name__):
        make().load({"weight": torch.zeros(1)})


def test_unfitted_model_cannot_be_called(make, refuses):
    """There is nothing that it could say."""
    with refuses(mz.ModelError, type(make()).__name__, "fit or load"):
        make()(torch.zeros(1, 1, 8, 8))


def test_colour_pictures(make):
    """Images of any number of channels, height and width can be learned and looked at."""
    split = coloured(60)
    assert fitted(make, split, classes=3)(to_float(split.images)).shape == (60, 3)


def test_one_picture_of_each_class_is_learned_by_heart(make):
    """Each is its own nearest mean, neighbour and leaf; only the majority class, here the first, sees no image."""
    split = coloured(3)
    model = make((3, 5, 4), 3)
    if isinstance(model, NearestNeighbours):
        model = NearestNeighbours((3, 5, 4), 3, neighbours=1)
    model.fit(split, 0)
    expected = [0, 0, 0] if isinstance(model, Majority) else [0, 1, 2]
    assert model(to_float(split.images)).argmax(1).tolist() == expected


def test_class_without_training_picture_is_never_predicted(make, digits):
    """With no image of 3 to learn from, none is taken for a 3; its logit stays finite."""
    kept = digits.train.labels != 3
    split = mz.Split(digits.train.images[kept], digits.train.labels[kept])
    logits = predict_logits(fitted(make, split), digits.test.images)
    assert (3 in logits.argmax(1), bool(logits.isfinite().all())) == (False, True)


def test_same_seed_gives_the_same_bits(make, digits):
    """Fitting twice gives the same buffers."""
    one, two = (fitted(make, digits.train, seed=2**40 + 1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_random_says_whether_the_seed_matters(make, digits):
    """Another seed gives another model exactly where the class says that it draws random numbers."""
    one, two = (fitted(make, digits.train, seed) for seed in (0, 1))
    same = torch.equal(predict_logits(one, digits.test.images), predict_logits(two, digits.test.images))
    assert same is not one.random


def test_fit_draws_nothing_from_torch(make, digits):
    """The default generator stands where it stood."""
    before = torch.get_rng_state()
    fitted(make, digits.train)
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_are_the_keyword_arguments(make):
    """What the record keeps is what builds the model again."""
    model = make()
    names = list(inspect.signature(type(model)).parameters)[2:]
    assert list(model.settings()) == names
    assert type(model)((1, 8, 8), 10, **model.settings()).settings() == model.settings()


@pytest.mark.parametrize(
    ("make_one", "setting"),
    [(NearestNeighbours, "neighbours"), *((Forest, name) for name in ("trees", "min_samples_leaf", "max_features"))],
)
def test_settings_below_one_are_refused(make_one, setting, refuses):
    """Each setting is a whole number of at least 1."""
    with refuses(mz.SettingError, setting.replace("_", " "), "at least 1"):
        make_one((1, 8, 8), 10, **{setting: 0})


def test_pixels_come_back_exactly():
    """All 256 values survive the way to float32 in [0, 1] and back."""
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(to_float(values.view(256, 1, 1, 1)))[:, 0], values.float())
