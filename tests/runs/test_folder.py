"""The folders of runs: unique names, whole files, listings by looking."""

import errno
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import safetensors.torch
import torch

from helpers import record
from modelzero.errors import RunError
from modelzero.runs.folder import (
    append_history,
    claimed,
    create_folder,
    read_runs,
    write_bytes,
    write_record,
    write_tensors,
)
from modelzero.runs.record import Epoch
from modelzero.runs.run import Run

RECORD = record()


def make(runs_dir, label):
    path, _ = create_folder(runs_dir, label, RECORD)
    return path


def epoch(number):
    return Epoch(number, 0.5, 0.8, 0.8, float("nan"), 0.9, 9, 0.4, 0.9, 1.5, 0.1)


def everything():
    """List every file and folder below the current one."""
    return sorted(path.as_posix() for path in Path().rglob("*"))


def failing(error):
    def replace(*_):
        raise error

    return replace


# Names.


def test_folder_says_when_and_what():
    """Date, time, label, six random hexadecimal digits."""
    path = make("runs", "model0-seed42")
    assert path.parent == Path("runs")
    assert path.is_dir()
    assert re.fullmatch(r"\d{8}-\d{6}-model0-seed42-[0-9a-f]{6}", path.name)


def test_folders_above_are_made():
    """Whoever names a folder that is not there yet gets it."""
    assert make("a/b/c", "x").is_dir()


def test_many_at_once_get_folders_of_their_own():
    """Sixteen threads make four hundred folders of four hundred names."""
    with ThreadPoolExecutor(16) as pool:
        paths = list(pool.map(lambda _: make("runs", "same"), range(400)))
    assert len(set(paths)) == len(list(Path("runs").iterdir())) == 400


@pytest.mark.parametrize(
    "label",
    ["../x", "..", "/etc", "a/b", "<b>", "한국어", "", "x" * 300, "한" * 300, "nul\0l", "a\nb", "-rf", "C:\\x", "."],
)
def test_odd_label_stays_inside(label):
    """Whatever a model is called, its folder lies in the runs folder, and its name is plain and short."""
    path = make("runs", label)
    assert path.resolve().parent == Path("runs").resolve()
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", path.name)
    assert not path.name.startswith((".", "-"))


@pytest.mark.parametrize("runs_dir", ["file", "file/runs"])
def test_folder_that_cannot_be_made(runs_dir):
    """The error names the folder, the reason and the option; nothing is left."""
    Path("file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written \((Not a directory|File exists)\): .*--runs-dir"):
        make(runs_dir, "x")
    assert everything() == ["file"]


# Files.


def test_file_is_written_whole():
    """The content is there and nothing besides the file."""
    write_bytes(Path("a"), b"new")
    assert (Path("a").read_bytes(), everything()) == (b"new", ["a"])


def test_file_is_replaced():
    """The new content takes the place of the old."""
    Path("a").write_bytes(b"old and longer")
    write_bytes(Path("a"), b"new")
    assert Path("a").read_bytes() == b"new"


def test_full_disk_leaves_the_old_content(monkeypatch):
    """When the last step fails, the old file is whole, no temporary one is left, and the error says why."""
    Path("a").write_bytes(b"old")
    monkeypatch.setattr("os.replace", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(RunError, match=r"^a cannot be written \(No space left on device\): .* or free disk space$"):
        write_bytes(Path("a"), b"new")
    assert (Path("a").read_bytes(), everything()) == (b"old", ["a"])


def test_full_disk_while_flushing_leaves_the_old_content(monkeypatch):
    """Likewise when the bytes do not reach the disk."""
    Path("a").write_bytes(b"old")
    monkeypatch.setattr("os.fsync", failing(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(RunError, match="Input/output error"):
        write_bytes(Path("a"), b"new")
    assert (Path("a").read_bytes(), everything()) == (b"old", ["a"])


def test_interrupt_leaves_the_old_content(monkeypatch):
    """Ctrl-C in the middle comes through as what it is; the old file is whole and no temporary one is left."""
    Path("a").write_bytes(b"old")
    monkeypatch.setattr("os.replace", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_bytes(Path("a"), b"new")
    assert (Path("a").read_bytes(), everything()) == (b"old", ["a"])


def test_folder_that_is_gone():
    """Somebody deleted the folder of a run while it was training."""
    with pytest.raises(RunError, match="cannot be written"):
        write_record(Path("gone"), RECORD)


def test_reader_never_sees_a_part():
    """While a record is written again and again, every look at it finds a whole one."""
    path = make("runs", "busy")
    write_record(path, RECORD)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write_record(path, record(seed=i, pad="x" * 20_000)) for i in range(60)])
        seen = [Run.read(path).seed]
        while not writing.done():
            seen.append(Run.read(path).seed)
    assert set(seen) <= {42, *range(60)}
    assert Run.read(path).seed == 59


def test_history_grows_by_a_line():
    """Each epoch is a line of strict JSON, NaN spelled out, and on disk as soon as it is appended."""
    for number in (1, 2, 3):
        append_history(Path(), epoch(number))
        lines = [json.loads(line) for line in Path("history.jsonl").read_text().splitlines()]
        assert [(line["epoch"], line["test_loss"]) for line in lines] == [(n, "NaN") for n in range(1, number + 1)]


def test_history_that_cannot_be_written():
    """The error is RunError here too."""
    with pytest.raises(RunError, match="cannot be written"):
        append_history(Path("gone"), epoch(1))


def test_tensors_come_back():
    """Types and values, also of a tensor that is a view with gaps."""
    tensors = {"logits": torch.rand(6, 4)[::2, 1:], "steps": torch.tensor(3), "w": torch.rand(2, requires_grad=True)}
    write_tensors(Path("t.safetensors"), tensors)
    again = safetensors.torch.load_file("t.safetensors")
    assert {name: again[name].dtype for name in tensors} == {name: t.dtype for name, t in tensors.items()}
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_tensors_leave_no_temporary_file():
    """Only the file itself."""
    write_tensors(Path("t.safetensors"), {"a": torch.zeros(3)})
    assert everything() == ["t.safetensors"]


# Listings.


def test_no_runs_folder_yet():
    """Before the first training there is nothing to list, and that is no error."""
    assert read_runs("runs") == ([], [])


def test_runs_are_listed_in_order():
    """By name, which begins with the date: the oldest first."""
    for name in ("20260103-000000-a-000000", "20260101-000000-z-ffffff", "20260102-000000-m-aaaaaa"):
        Path("runs", name).mkdir(parents=True)
        write_record(Path("runs", name), record(id=name))
    runs, trouble = read_runs("runs")
    assert [run.id[:8] for run in runs] == ["20260101", "20260102", "20260103"]
    assert trouble == []


def test_runs_of_one_second_are_listed_in_order():
    """Runs that began within one second are listed the oldest first too."""
    paths = [make("runs", label) for label in "hgfedcba"]
    for index, path in enumerate(paths):
        write_record(path, record(id=path.name, created=f"2026-11-23T14:00:00.{index:06}+00:00"))
    assert [run.path for run in read_runs("runs")[0]] == paths


def test_damaged_run_is_named_and_the_others_are_read():
    """One torn record does not hide the rest; files beside the folders are nobody's business."""
    good, torn = (make("runs", label) for label in ("good", "torn"))
    empty = Path("runs", "empty")
    empty.mkdir()
    write_record(good, RECORD)
    (torn / "run.json").write_text('{"format": 1, "id"')
    Path("runs", "notes.txt").write_text("mine")
    runs, trouble = read_runs("runs")
    assert [run.path for run in runs] == [good]
    assert sorted(line.split(" ")[0] for line in trouble) == sorted([f"{torn}/run.json", str(empty)])


def test_runs_folder_that_is_a_file():
    """The error names the option to change."""
    Path("file").write_text("")
    with pytest.raises(RunError, match=r"file cannot be listed \(Not a directory\): check --runs-dir"):
        read_runs("file")


# Claims.


def test_a_folder_has_one_writer(refuses):
    """Another thread is refused, this one too; when it is done nothing is left, and the next may come."""
    path = make("runs", "x")
    with claimed(path):
        with refuses(RunError, path, "another process or thread"), claimed(path):
            pass
        with ThreadPoolExecutor(1) as pool:
            assert isinstance(pool.submit(lambda: claimed(path).__enter__()).exception(), RunError)
    assert [each.name for each in path.iterdir()] == ["run.json"]
    with claimed(path):
        pass


@pytest.mark.parametrize(("number", "is_new"), [(errno.ENOLCK, False), (errno.ENOLCK, True), (errno.EIO, True)])
def test_a_file_system_without_locks_is_used_without(number, is_new, monkeypatch):
    """A network file system may answer that it has none; a folder that is new needs none in any case."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    path, trained = make("runs", "x"), []
    monkeypatch.setattr("fcntl.flock", flock)
    with claimed(path, is_new=is_new):
        trained.append(path)
    assert trained == [path]
    assert [each.name for each in path.iterdir()] == ["run.json"]


def test_a_folder_that_cannot_be_locked_is_not_resumed(monkeypatch, refuses):
    """One line says why."""

    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = make("runs", "x")
    monkeypatch.setattr("fcntl.flock", flock)
    with refuses(RunError, path, "Input/output error", "in its own folder"), claimed(path):
        pass


def test_of_many_that_claim_a_folder_one_works_at_a_time():
    """Eight threads try again and again; no two are ever inside at once."""
    path, inside, most, done = make("runs", "x"), [], [], []

    def work():
        while len(done) < 200:
            try:
                with claimed(path):
                    inside.append(threading.get_ident())
                    most.append(len(inside))
                    inside.remove(threading.get_ident())
                    done.append(1)
            except RunError:
                pass

    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(work) for _ in range(8)]:
            each.result()
    assert max(most) == 1
