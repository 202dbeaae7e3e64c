"""Training steps with bfloat16."""

import pytest
import torch
from torch import nn

import modelzero as mz
from helpers import Inline
from modelzero.models.recipe import Recipe
from modelzero.training import device as devices
from modelzero.training.device import choose_precision, has_bfloat16


def small():
    """A network with a convolution, whose inputs and weights bfloat16 rounds."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def few():
    return mz.load("digits", share=0.2)


def trained(data, folder, **settings):
    rung = mz.Rung("small", small, epochs=4, learning_rate=0.1, momentum=0.9)
    return mz.train(data, rung, threads=1, progress=False, runs_dir=folder, **settings)


def test_steps_with_bfloat16_give_nearly_the_same(few, tmp_path):
    """Other bits, as 8 bits of each product count, but a loss that is near; the weights stay in float32."""
    full, short = (trained(few, tmp_path, precision=each) for each in ("fp32", "bf16"))
    assert short.record.recipe["precision"] == "bf16"
    assert short.record.derived["precision"] == "bf16: as requested"
    assert short.history[-1].train_loss != full.history[-1].train_loss
    assert short.history[-1].train_loss == pytest.approx(full.history[-1].train_loss, rel=0.1)
    assert {tensor.dtype for tensor in short.model.state_dict().values()} == {torch.float32}
    assert short.test_logits.dtype == torch.float32


def test_a_run_with_bfloat16_is_replayed_to_the_bit(few, tmp_path):
    """Its record has the precision, whatever a trial would choose."""
    run = trained(few, tmp_path, precision="bf16")
    again = mz.replay(run.path, few, mz.Rung("small", small))
    assert again.identical, again.differences


def test_a_step_is_that_of_torchs_autocast(few, tmp_path):
    """The first loss is that of the plain loop in torch's own context."""
    run = trained(few, tmp_path, precision="bf16", batch_size=len(few.train), epochs=1)
    torch.manual_seed(42)
    model = small()
    order = torch.arange(len(few.train))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(few.train.images[order] / 255)
    loss = nn.functional.cross_entropy(logits.float(), few.train.labels)
    assert run.history[0].train_loss == pytest.approx(loss.item(), rel=1e-3)


def test_auto_needs_a_processor_with_bfloat16(few, monkeypatch):
    """Without one there is nothing to try."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda: False)
    chosen, why = choose_precision("auto", small(), few, Recipe(), torch.device("cpu"))
    assert (chosen, why) == ("fp32", "fp32: no bfloat16 units known on this processor")


@pytest.mark.parametrize(("short", "chosen"), [(0.010, "bf16"), (0.0101, "bf16"), (0.0105, "fp32"), (0.02, "fp32")])
def test_auto_takes_bfloat16_only_where_it_is_much_faster(few, monkeypatch, short, chosen):
    """At least 1.3 times, with the figures of the trial."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda: True)
    seconds = {"fp32": 0.0132, "bf16": short}
    monkeypatch.setattr(devices, "step_seconds", lambda *given: seconds[given[3].precision])
    found, why = choose_precision("auto", small(), few, Recipe(), torch.device("cpu"))
    assert found == chosen
    assert why.startswith(f"{chosen}: 13.2 ms a step in fp32, {1000 * short:.1f} ms in bf16")


def test_the_trial_of_bfloat16_is_a_real_one(few, monkeypatch):
    """Both are timed, on any processor."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda: True)
    chosen, why = choose_precision("auto", small(), few, Recipe(), torch.device("cpu"))
    assert chosen in ("fp32", "bf16")
    assert why.endswith("in a short trial")
    assert isinstance(has_bfloat16(), bool)


def test_what_cannot_use_it_refuses_it(few, refuses):
    """A model fitted in one go; and a linear stack leaves the kernel for it."""
    with refuses(mz.SettingError, "precision given", "fitted in one go"):
        mz.train(few, "knn", precision="bf16")
    with refuses(mz.SettingError, "precision 'fp16'", "auto, fp32, bf16"):
        mz.train(few, "softmax", precision="fp16")


def test_linear_stacks_leave_the_kernel_for_it(few, tmp_path):
    """Only on request: auto keeps the kernel, which is faster."""
    run = mz.train(few, "softmax", precision="bf16", epochs=1, progress=False, runs_dir=tmp_path)
    assert run.record.engine == "torch"
    assert run.record.derived["engine"] == "torch: its recipe computes with bfloat16"
    run = mz.train(few, "softmax", precision="auto", epochs=1, progress=False, runs_dir=tmp_path)
    assert (run.record.engine, run.record.recipe["precision"]) == ("fused", "fp32")


def test_a_climb_gives_it_to_rungs_that_leave_it_open(few, tmp_path):
    """The others keep theirs; it is declared, and can be repeated."""
    rungs = [mz.Rung("open", small, epochs=1, precision="auto"), mz.Rung("fixed", small, epochs=1)]
    ladder = mz.climb(few, rungs, seeds=1, precision="bf16", audit=False, runs_dir=tmp_path, executor=Inline())
    assert [run.record.recipe["precision"] for run in ladder.runs] == ["bf16", "fp32"]
    assert [rung.recipe["precision"] for rung in ladder.record.rungs] == ["bf16", "fp32"]
