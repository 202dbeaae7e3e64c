"""Exported files, asked by the libraries that others will ask them with."""

import json
import shutil

import numpy as np
import pytest
import torch

import modelzero as mz
from modelzero.errors import ExportError
from modelzero.models.rungs import LADDER
from modelzero.results.calibrated import temperature_of
from modelzero.runs.record import MODEL
from modelzero.using import export as exporting
from modelzero.using import onnx as own_onnx
from modelzero.using.export import check, export
from modelzero.using.program import METADATA

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RUNGS = [rung.name for rung in LADDER]


@pytest.fixture(scope="module")
def whole(run_of, tmp_path_factory):
    """The bytes of an exported file that is in order."""
    return export(run_of("softmax"), tmp_path_factory.mktemp("whole") / "x.onnx").path.read_bytes()


@pytest.fixture
def written(whole, tmp_path):
    """That file, to be changed."""
    path = tmp_path / "x.onnx"
    path.write_bytes(whole)
    return path


def asked(path):
    """Ask a file without modelzero; return the function and what the file says of itself."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        told = session.get_modelmeta().custom_metadata_map
        return lambda images: session.run(["probabilities"], {"images": images.numpy()})[0], told
    files = {METADATA: ""}
    module = torch.export.load(path, extra_files=files).module()
    return lambda images: module(images).numpy(), json.loads(files[METADATA])


@pytest.mark.parametrize(
    ("rung", "kind"),
    [*((rung, "onnx") for rung in RUNGS), *((rung, "torch") for rung in ("majority", "knn", "softmax", "convnet"))],
)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_every_rung_as_a_file(rung, kind, run_of, tmp_path):
    """Any number of raw images, also new ones: the class and the probabilities that `mz.predict` gives."""
    run = run_of(rung)
    done = export(run, tmp_path / f"file{exporting.KINDS[kind]}", to=kind)
    assert (done.parity.pictures, done.parity.other_classes) == (360, 0)
    assert done.parity.largest <= 1e-5
    function, told = asked(done.path)
    images = torch.randint(0, 256, (33, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    for some in (images, images[:1], images[:2]):
        own = mz.predict(run, some).numpy()
        found = function(some)
        assert found.shape == (len(some), 10)
        assert np.abs(found - own).max() <= 1e-5
    assert told == done.metadata
    assert json.loads(told["classes"]) == list("0123456789")
    assert (told["run"], told["model"], told["fingerprint"]) == (run.id, rung, run.record.data.fingerprint)
    assert json.loads(told["temperature"]) == temperature_of(run)
    content = done.path.read_bytes()
    assert b"site-packages" not in content  # nor where the code lies on this machine
    assert str(tmp_path).encode() not in content


def test_a_file_says_what_it_takes(written):
    """uint8 `images` of an open number in, float32 `probabilities` out; a valid model by ONNX's own check."""
    onnx.checker.check_model(str(written), full_check=True)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("images", "tensor(uint8)", ["N", 1, 8, 8])
    assert (answer.name, answer.type, answer.shape) == ("probabilities", "tensor(float)", ["N", 10])
    meta = session.get_modelmeta()
    assert (meta.producer_name, meta.graph_name) == ("modelzero", "softmax")


def test_the_same_run_gives_the_same_file(whole, run_of, tmp_path):
    """Byte for byte."""
    assert export(run_of("softmax"), tmp_path / "again.onnx").path.read_bytes() == whole


def test_without_a_name_it_lies_beside_the_weights(run_of):
    """And nothing else is left there."""
    run = run_of("majority")
    before = {path.name for path in run.path.iterdir()}
    assert export(run).path == run.path / "model.onnx"
    assert {path.name for path in run.path.iterdir()} == before | {"model.onnx"}


def test_fashion_mnist_passes(fashion_mnist, tmp_path):
    """All 10,000 test images, loaded again as the record says; `benchmarks/export.py` has every rung."""
    run = mz.train(fashion_mnist, "model0", runs_dir=tmp_path, progress=False)
    parity = export(mz.Run.read(run.path)).parity
    assert (parity.pictures, parity.other_classes, parity.beyond) == (10_000, 0, 0)


def tampered(path, change):
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def scaled_weights(model):
    weights = next(each for each in model.graph.initializer if len(each.dims) == 2)
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * np.float32(1.01), weights.name))


def one_weight(model):
    weights = next(each for each in model.graph.initializer if len(each.dims) == 2)
    values = onnx.numpy_helper.to_array(weights).copy()
    values[3, 20] += 0.05
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))


def other_operator(model):
    node = next(node for node in model.graph.node if node.op_type == "Softmax")
    node.op_type = "Sigmoid"
    del node.attribute[:]


def other_names(model):
    props = {each.key: each.value for each in model.metadata_props}
    onnx.helper.set_model_props(model, props | {"classes": props["classes"].replace('"0", "1"', '"1", "0"')})


def no_metadata(model):
    del model.metadata_props[:]


def renamed_output(model):
    old, model.graph.output[0].name = model.graph.output[0].name, "logits"
    for node in model.graph.node:
        node.output[:] = ["logits" if name == old else name for name in node.output]


def outside_numbers(model):
    each = model.graph.initializer[0]
    each.ClearField("raw_data")
    each.data_location = onnx.TensorProto.EXTERNAL
    each.external_data.add(key="location", value="elsewhere.bin")


def outside_numbers_in_a_branch(model):
    """What torch's exporter never writes, and onnxruntime runs all the same."""
    weight = model.graph.initializer[0]
    elsewhere = onnx.TensorProto(name="elsewhere", data_type=weight.data_type, dims=weight.dims)
    elsewhere.data_location = onnx.TensorProto.EXTERNAL
    elsewhere.external_data.add(key="location", value="elsewhere.bin")
    made = onnx.helper.make_tensor_value_info("made", weight.data_type, list(weight.dims))
    same = onnx.helper.make_node("Identity", ["elsewhere"], ["made"])
    branch = onnx.helper.make_graph([same], "branch", [], [made], initializer=[elsewhere])
    choice = onnx.helper.make_node("If", ["yes"], [weight.name], then_branch=branch, else_branch=branch)
    model.graph.initializer.remove(weight)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(0, choice)


CHANGES = [scaled_weights, one_weight, other_names, no_metadata, renamed_output]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_tampered_with_is_refused(change, written, run_of, refuses):
    """As it was written it is in order; after the change it is not."""
    run = run_of("softmax")
    assert check(run, written).parity.holds
    tampered(written, change)
    with refuses(ExportError, written):
        check(run, written)


@pytest.mark.parametrize("change", [outside_numbers, outside_numbers_in_a_branch])
def test_a_file_that_reads_other_files_is_refused(change, written, run_of, refuses):
    """They may be any, and change later."""
    model = onnx.load(written)
    change(model)
    written.write_bytes(model.SerializeToString())
    with refuses(ExportError, "other files"):
        check(run_of("softmax"), written)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_what_is_no_onnx_file(content, whole, written, run_of, refuses):
    """Empty, something else, and cut off in the middle."""
    written.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with refuses(ExportError, written):
        check(run_of("softmax"), written)


def test_files_of_other_runs_and_kinds(written, run_of, tmp_path, refuses):
    """A file is checked against its own run; a torch program is not read at all, for that may run code."""
    with refuses(ExportError, "belongs to another run"):
        check(run_of("model1"), written)
    with refuses(mz.SettingError, "can run any code"):
        check(run_of("softmax"), tmp_path / "x.pt2")
    with refuses(mz.DataError, "is not a file"):
        check(run_of("softmax"), tmp_path / "nowhere.onnx")
    with refuses(mz.SettingError, "x.pt2", "ends with .onnx"):
        export(run_of("softmax"), tmp_path / "x.pt2")


@pytest.mark.parametrize("change", [scaled_weights, other_operator])
def test_a_file_that_disagrees_gets_no_name(change, run_of, tmp_path, monkeypatch, refuses):
    """The exporter is made to err: figures, exit with an error, and neither the file nor a temporary one is there."""
    write = own_onnx.write

    def err(graph, image_shape, told, path):
        write(graph, image_shape, told, path)
        tampered(path, change)

    monkeypatch.setattr(own_onnx, "write", err)
    path = tmp_path / "x.onnx"
    path.write_bytes(b"what was there before")
    with refuses(ExportError, "of 360 test images", "largest difference"):
        export(run_of("softmax"), path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.onnx"]
    assert path.read_bytes() == b"what was there before"


def test_nothing_is_exported_unchecked(digits, tmp_path, refuses):
    """Images that were handed over are not where a record can say; who has them hands them over again."""
    data = mz.ImageData("mine", digits.train, digits.test, digits.classes)
    run = mz.Run.read(mz.train(data, "majority", runs_dir=tmp_path, progress=False).path)
    with refuses(mz.DataError, "mine", "--data"):
        export(run)
    with refuses(mz.DataError, "fingerprint"):
        export(run, data=mz.ImageData("others", digits.test, digits.test, digits.classes))
    assert export(run, data=data, to="torch").parity.holds
    assert export(run, data="digits", to="torch").parity.holds


def test_weights_that_do_not_belong_to_the_predictions(run_of, digits, tmp_path, refuses):
    """Of the same shape, but of another training: they are not exported as this run."""
    run = run_of("softmax")
    other = mz.train(digits, "softmax", epochs=1, seed=1, learning_rate=0.001, runs_dir=tmp_path, progress=False)
    path = tmp_path / run.id
    shutil.copytree(run.path, path)
    shutil.copy(other.path / MODEL, path / MODEL)
    with refuses(mz.RunError, "damaged"):
        export(mz.Run.read(path))


def test_the_missing_extra_is_named(run_of, monkeypatch, refuses):
    """What to type, too."""
    monkeypatch.setattr(own_onnx, "_NEEDED", ("onnx", "no_such_package"))
    with refuses(mz.SettingError, "no_such_package", "pip install 'modelzero[onnx]'"):
        export(run_of("softmax"))


@pytest.mark.parametrize("path", ["no/where.pt2", "a\0b.pt2"])
def test_places_that_cannot_be_written(path, run_of, refuses):
    """One line that says what to do."""
    with refuses(mz.SettingError, "cannot be written", "choose another file"):
        export(run_of("majority"), path, to="torch")


def test_unknown_kinds(run_of, refuses):
    """With what there is."""
    with refuses(mz.SettingError, "'onnx'"):
        export(run_of("majority"), to="onyx")


def test_a_classifier_in_memory_is_no_graph(digits, tmp_path, refuses):
    """It predicts in the session that fitted it, but torch cannot write it down."""
    from sklearn.naive_bayes import GaussianNB

    run = mz.train(digits, GaussianNB, runs_dir=tmp_path, progress=False)
    with refuses(mz.ModelError, "classifier of scikit-learn"):
        export(run, data=digits)


def test_a_module_of_ones_own_can_be_exported_where_it_was_trained(digits, tmp_path):
    """Its code is there, so torch can follow it."""
    run = mz.train(
        digits, lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), runs_dir=tmp_path, epochs=1
    )
    assert export(run, data=digits, to="torch").parity.holds
