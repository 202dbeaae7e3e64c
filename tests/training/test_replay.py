"""A run done again from its record alone."""

from dataclasses import replace

import pytest
import safetensors.torch

import modelzero as mz
from modelzero.runs.folder import write_record
from modelzero.runs.seal import fingerprint


@pytest.mark.parametrize("model", ["majority", "model0", "tinyvgg", "forest"])
def test_the_same_comes_out(digits, model):
    """Weights, predictions and history, to the bit; the runs folder stays as it is."""
    settings = {"epochs": 2} if model in ("model0", "tinyvgg") else {}
    run = mz.train(digits, model, **settings)
    result = mz.replay(run.path, progress=False)
    assert result.identical
    assert (result.differences, result.environment, result.altered) == ((), (), False)
    assert len(list(run.path.parent.iterdir())) == 1


def test_an_altered_history_is_named(digits):
    """Epoch, field, and by how much, though the record's checksum is right."""
    run = mz.train(digits, "model0", epochs=3)
    other = replace(run.history[1], train_loss=run.history[1].train_loss + 0.25)
    write_record(run.path, replace(run.record, history=(run.history[0], other, run.history[2])))
    result = mz.replay(run.path, progress=False)
    assert not result.identical
    assert str(result.differences[0]).startswith("epoch 2, train_loss: recorded ")
    assert str(result.differences[0]).endswith(", by 0.25")
    assert not result.altered
    stored = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(stored.replace('"seed": 42', '"seed":  42'))
    assert mz.replay(run.path, progress=False).altered


def test_altered_weights_and_predictions_are_named(digits):
    """Which tensor, how many of its numbers, and the first one."""
    run = mz.train(digits, "model0", epochs=1)
    for name in ("model.safetensors", "predictions.safetensors"):
        tensors = safetensors.torch.load_file(run.path / name)
        tensors["1.bias" if "1.bias" in tensors else "logits"].view(-1)[3] += 1
        safetensors.torch.save_file(tensors, run.path / name)
        run.record.files[name] = fingerprint(run.path / name)
    write_record(run.path, run.record)
    told = [str(difference) for difference in mz.replay(run.path, progress=False).differences]
    assert len(told) == 2
    assert told[0].startswith("weights, 1.bias (1 of 10 differ, the first at 3)")
    assert told[1].startswith("predictions, logits (1 of 3,600 differ, the first at 3)")


def test_another_seed_is_another_run(digits):
    """Everything differs, from the first epoch on."""
    run = mz.train(digits, "model0", epochs=1)
    write_record(run.path, replace(run.record, seed=43))
    assert mz.replay(run.path, progress=False).differences[0].where == "epoch 1"


def test_what_differs_around_it_is_told(digits):
    """Versions and machine, in words."""
    run = mz.train(digits, "model0", epochs=1)
    environment = replace(run.record.environment, versions={**run.record.environment.versions, "torch": "1.0"})
    write_record(run.path, replace(run.record, environment=environment))
    result = mz.replay(run.path, progress=False)
    assert result.identical
    assert result.environment[0].startswith("torch 1.0, now 2")


def test_only_a_finished_run_of_a_known_model(digits, refuses):
    """Of others nobody could say what ought to come out."""
    run = mz.train(digits, "model0", epochs=1)
    again = mz.Run.read(run.path)  # its model is made while another one is being made, which has to be possible
    write_record(run.path, replace(run.record, status="failed"))
    with refuses(mz.RunError, "is failed", "expected a finished run"):
        mz.replay(run.path)
    write_record(run.path, run.record)
    own = mz.train(digits, lambda: again.model, epochs=1)
    with pytest.raises(mz.ModelError, match="a model of your own"):
        mz.replay(own.path)
