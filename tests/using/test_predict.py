"""What a run says of images in memory, against its stored predictions and against SciPy."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from torch import nn

import modelzero as mz
from modelzero.models.rungs import LADDER
from modelzero.results.calibrated import temperature_of
from modelzero.runs.record import MODEL, RECORD
from modelzero.runs.run import Run
from modelzero.statistics.calibration import calibration_cut
from modelzero.using.predict import calibrated, shaped


@pytest.mark.parametrize("rung", [rung.name for rung in LADDER])
def test_every_rung_says_what_it_said_when_it_was_tested(rung, run_of, digits):
    """Read back from its folder, it gives the test images their stored class, and probabilities that add up to 1."""
    run = run_of(rung)
    probabilities = mz.predict(run, digits.test.images)
    assert probabilities.dtype == torch.float32
    assert torch.equal(probabilities.argmax(1), run.test_logits.argmax(1))
    assert torch.allclose(probabilities.sum(1), torch.ones(360))
    expected = softmax(run.test_logits.double().numpy() / temperature_of(run), axis=1)
    assert np.abs(probabilities.numpy() - expected).max() < 1e-5


def test_probabilities_are_better_calibrated_than_those_of_the_model(run_of, digits):
    """On the half of the test images that the temperature was not fitted on, the likelihood is higher with it."""
    run = run_of("softmax")
    labels = digits.test.labels
    left = torch.from_numpy(~calibration_cut(labels.numpy()))

    def loss(probabilities):
        return -probabilities[left].gather(1, labels[left][:, None]).log().mean()

    assert loss(mz.predict(run, digits.test.images)) < loss(run.test_logits.softmax(1))


@pytest.mark.parametrize(
    "form",
    [
        lambda images: images,
        lambda images: images.numpy(),
        lambda images: images[:, 0],
        lambda images: images.permute(0, 2, 3, 1),
        lambda images: list(images),
        lambda images: images.tolist(),
        lambda images: [image.numpy()[0] for image in images],
        lambda images: images.double() / 255,
        lambda images: images.to(torch.int32),
        lambda images: images.flip(0).numpy()[::-1],
    ],
    ids=["tensor", "array", "grey", "channels last", "tensors", "numbers", "arrays", "fractions", "int32", "reversed"],
)
def test_images_may_come_in_many_forms(form, digits):
    """Tensors, arrays and lists with or without a channel are the same images."""
    images = digits.test.images[:5]
    assert torch.equal(shaped(form(images), (1, 8, 8)), images)


def test_one_image_and_none():
    """One image needs no first dimension; no images get no probabilities."""
    colour = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    assert torch.equal(shaped(colour, (3, 4, 5)), colour[None])
    assert torch.equal(shaped(colour.permute(1, 2, 0), (3, 4, 5)), colour[None])
    assert shaped([], (3, 4, 5)).shape == (0, 3, 4, 5)
    odd = torch.zeros(2, 2, 4, 5, dtype=torch.uint8)
    assert shaped(odd, (2, 4, 5)).shape == (2, 2, 4, 5)


def test_no_images_get_no_probabilities(run_of):
    """A pipeline may hand over nothing."""
    assert mz.predict(run_of("majority"), np.zeros((0, 1, 8, 8), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 9, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(8, dtype=torch.uint8),
        torch.zeros(1, 1, 1, 8, 8),
        7,
    ],
)
def test_other_shapes_are_refused(images, run_of, refuses):
    """What was found and what is needed, in one line."""
    with refuses(mz.DataError, "expected uint8 [N, 1, 8, 8]"):
        mz.predict(run_of("softmax"), images)


def test_other_numbers_are_refused(run_of, refuses):
    """Neither fractions nor bytes: it was normalised."""
    with refuses(mz.DataError, "from 0 to 1"):
        mz.predict(run_of("softmax"), torch.full((1, 1, 8, 8), -0.5))


def test_files_are_read_as_in_training(run_of, digits, tmp_path, refuses):
    """A file, a folder and a list of both; one that cannot be read is named, and no other is predicted."""
    run, images = run_of("softmax"), digits.test.images[:3]
    paths = [tmp_path / "some" / f"{k}.png" for k in range(3)]
    paths[0].parent.mkdir()
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image[0].numpy()).save(path)
    for given, places in (
        (paths[0].parent, [0, 1, 2]),
        (str(paths[1]), [1]),
        ([paths[2], str(paths[0].parent)], [2, 0, 1, 2]),
    ):
        assert torch.equal(mz.predict(run, given), mz.predict(run, images[places]))
    with refuses(mz.DataError, "1 unreadable file of 2", "gone.png"):
        mz.predict(run, [paths[0], "gone.png"])


def test_a_model_in_memory_need_not_be_built_again(digits, tmp_path, refuses):
    """What cannot be stored, and a module of one's own, answer in the session that trained them, not later."""
    for model in (
        lambda: make_pipeline(FunctionTransformer(lambda rows: rows), LinearSVC()),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    ):
        run = mz.train(digits, model, runs_dir=tmp_path, progress=False)
        assert torch.equal(mz.predict(run, digits.test.images).argmax(1), run.test_logits.argmax(1))
        with refuses(mz.ModelError, run.id):
            mz.predict(Run.read(run.path), digits.test.images)


def test_only_a_finished_run_predicts(run_of, refuses):
    """One that was interrupted may have weights, but of half a training."""
    run = run_of("softmax")
    with refuses(mz.RunError, "interrupted", "finished"):
        mz.predict(Run(run.path, replace(run.record, status="interrupted")), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("other", ["mlp", "majority", "centroid", None])
def test_weights_of_another_model_are_damage(other, run_of, tmp_path, refuses):
    """No error of torch reaches the user, whatever lies where the weights should be."""
    run = run_of("softmax")
    path = tmp_path / run.id
    shutil.copytree(run.path, path)
    if other:
        shutil.copy(run_of(other).path / MODEL, path / MODEL)
    else:
        (path / MODEL).write_bytes(b"nonsense")
    with refuses(mz.RunError, "damaged"):
        mz.predict(Run.read(path), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("classes", [None, ["0", "1"]])
def test_a_record_without_its_classes_is_damage(classes, run_of, tmp_path, refuses):
    """A record is a file, and files are edited."""
    run = run_of("softmax")
    path = tmp_path / run.id
    shutil.copytree(run.path, path)
    record = run.record.as_dict()
    record["data"]["classes"] = classes
    if classes is None:
        del record["data"]["classes"]
    (path / RECORD).write_text(json.dumps(record))
    with refuses(mz.RunError, "damaged"):
        mz.predict(Run.read(path), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def test_a_perfect_cut_leaves_the_temperature_alone(run_of):
    """Where nothing went wrong, nothing says how often something will."""
    run = run_of("softmax")
    perfect = Run(run.path, run.record)
    perfect.__dict__.update(test_logits=torch.eye(10)[run.test_labels] * 5, test_labels=run.test_labels)
    assert temperature_of(perfect) == 1.0


@pytest.mark.parametrize("temperature", [0.001, 0.7, 1.0, 3.0, 1000.0])
def test_no_temperature_changes_a_class(temperature):
    """Also where float32 cannot tell two probabilities apart."""
    logits = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    logits[:100, 1] = torch.nextafter(logits[:100, 0], torch.tensor(9.0))
    assert torch.equal(calibrated(logits, temperature).argmax(1), logits.argmax(1))
