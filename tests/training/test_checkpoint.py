"""Checkpoints: when they are made, what is kept, and what is done with a damaged one."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

import modelzero as mz
from modelzero.signals import Interruption
from modelzero.training import checkpoint
from modelzero.training.checkpoint import Checkpoint, Checkpoints, check_every, last_good, remove_all, same_bits, write

LOSSES, RIGHTS = np.array([2.5, 1.25]), np.array([3, 4])


def made(epoch=1, step=2, value=1.0):
    """A checkpoint with a tensor in rows and one that lies otherwise."""
    aside = torch.arange(6.0).view(2, 3).t() + value
    return Checkpoint(epoch, step, {"rows": torch.full((2, 2), value), "aside": aside}, LOSSES, RIGHTS, 0.5, [])


def names(path):
    return sorted(file.name for file in path.iterdir())


def test_what_is_written_is_read_back(tmp_path):
    """To the bit, and lying in memory as it did."""
    before = made()
    write(tmp_path, before)
    found, trouble = last_good(tmp_path)
    assert trouble == []
    assert (found.epoch, found.step, found.train_seconds, found.history) == (1, 2, 0.5, [])
    assert found.losses.tolist() == LOSSES.tolist()
    assert found.rights.tolist() == RIGHTS.tolist()
    for name, tensor in before.tensors.items():
        assert same_bits(found.tensors[name], tensor)
        assert found.tensors[name].stride() == tensor.stride()


def test_the_last_two_are_kept(tmp_path):
    """Both files of each, and no other."""
    for step in (1, 2, 30, 100):
        write(tmp_path, made(step=step))
    assert names(tmp_path) == [
        f"checkpoint-000001-000{step}.{kind}" for step in ("030", "100") for kind in ("json", "safetensors")
    ]
    remove_all(tmp_path)
    assert names(tmp_path) == []


def test_the_last_one_is_told_by_numbers(tmp_path):
    """Also above 999,999, where names do not sort any more; other files are none of its business."""
    (tmp_path / "checkpoint-of-mine.json").write_text("{}")
    for epoch, step in ((2, 999_999), (2, 1_000_000), (2, 1_000_001), (3, 5)):
        write(tmp_path, made(epoch, step))
        assert last_good(tmp_path)[0].step == step
    found, trouble = last_good(tmp_path)
    assert (found.epoch, found.step, trouble) == (3, 5, [])
    remove_all(tmp_path)
    assert names(tmp_path) == ["checkpoint-of-mine.json"]


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path, kind):
    """And says so; the damaged one is removed, so that it does not stand in the way of later ones."""
    write(tmp_path, made(step=1, value=1.0))
    write(tmp_path, made(step=2, value=2.0))
    file = tmp_path / f"checkpoint-000001-000002.{kind}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    found, trouble = last_good(tmp_path)
    assert (found.step, found.tensors["rows"][0, 0].item()) == (1, 1.0)
    assert len(trouble) == 1
    assert "checkpoint-000001-000002 is damaged" in trouble[0]
    assert names(tmp_path) == ["checkpoint-000001-000001.json", "checkpoint-000001-000001.safetensors"]


def test_one_that_cannot_be_read_now_is_left_alone(tmp_path, monkeypatch):
    """A disk that does not answer is no damaged checkpoint."""
    write(tmp_path, made(step=1))
    write(tmp_path, made(step=2))
    before = names(tmp_path)

    def broken(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "read", broken)
        with pytest.raises(OSError, match="Input/output"):
            last_good(tmp_path)
    assert names(tmp_path) == before
    assert last_good(tmp_path)[0].step == 2


def test_tensors_without_a_description_are_no_checkpoint(tmp_path):
    """The process was killed between the two files."""
    write(tmp_path, made(step=1))
    write(tmp_path, made(step=2))
    (tmp_path / "checkpoint-000001-000002.json").unlink()
    assert last_good(tmp_path)[0].step == 1


def test_three_times_the_room_is_needed(tmp_path, monkeypatch, refuses):
    """Nothing is begun that would not fit; the line says how much there is."""
    write(tmp_path, made(step=1))
    size = 4 * (4 + 6) + 2 * 16
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 3 * size - 1))
    with refuses(mz.RunError, "MB free", "3 times the", "--resume"):
        write(tmp_path, made(step=2))
    assert last_good(tmp_path)[0].step == 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 3 * size))
    write(tmp_path, made(step=2))
    assert last_good(tmp_path)[0].step == 2


def test_weights_that_layers_share_are_no_trouble(tmp_path):
    """They come back under both names."""
    shared = torch.arange(3.0)
    write(tmp_path, Checkpoint(1, 2, {"one": shared, "other": shared}, LOSSES, RIGHTS, 0.0, []))
    tensors = last_good(tmp_path)[0].tensors
    assert tensors["one"].tolist() == tensors["other"].tolist() == [0, 1, 2]


def test_short_runs_make_none_and_long_ones_at_their_time(tmp_path, monkeypatch):
    """By the clock; at the ends of epochs only once a run has lasted that long."""
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every=60.0)
    now[0] += 59
    assert not checkpoints.due()
    assert not checkpoints.due(epoch_ended=True)
    now[0] += 1
    assert checkpoints.due()
    checkpoints.save(1, 2, made().tensors, LOSSES, RIGHTS, 0.0)
    assert not checkpoints.due()
    assert checkpoints.due(epoch_ended=True)
    now[0] += 60
    assert checkpoints.due()
    assert not Checkpoints(tmp_path, every=None).due(epoch_ended=True)


def test_costly_ones_are_rarer_at_the_ends_of_epochs(tmp_path, monkeypatch):
    """They take at most a hundredth of the time there."""
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every=60.0)
    now[0] += 61

    def slowly(*_):
        now[0] += 0.1

    monkeypatch.setattr(checkpoint, "write", slowly)
    checkpoints.save(1, 2, made().tensors, LOSSES, RIGHTS, 0.0)
    now[0] += 9
    assert not checkpoints.due(epoch_ended=True)
    now[0] += 1.1
    assert checkpoints.due(epoch_ended=True)


def test_who_is_asked_to_stop_saves_and_stops(tmp_path):
    """With the signal's number, once the checkpoint is written."""
    checkpoints = Checkpoints(tmp_path, every=None, stopping=lambda: 15)
    assert checkpoints.due()
    with pytest.raises(Interruption) as caught:
        checkpoints.save(1, 2, made().tensors, LOSSES, RIGHTS, 0.0)
    assert caught.value.number == 15
    assert last_good(tmp_path)[0].step == 2


@pytest.mark.parametrize("seconds", [0, -1, "60s", float("nan"), True, None])
def test_times_that_are_none(seconds, refuses):
    """Seconds above 0 are needed."""
    with refuses(mz.SettingError, "checkpoint every", "above 0"):
        check_every(seconds)
