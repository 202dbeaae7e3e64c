"""Commands that are stopped or killed, and what the next command makes of it; real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from helpers import Inline, start
from modelzero.cli import app

# Some ten thousand steps: nothing that is sent arrives after the end.
LONG = ["train", "digits", "--model", "convnet", "--epochs", "2000", "--threads", "1"]


def modelzero(*words):
    done = subprocess.run([sys.executable, "-m", "modelzero", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def the_run(runs="runs"):
    """Wait until a run has a line of history; return its folder."""
    for _ in range(600):
        for path in Path(runs).glob("*/history.jsonl"):
            if path.stat().st_size:
                return path.parent
        time.sleep(0.1)
    pytest.fail("no training began")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_training_with_a_checkpoint(number, code):
    """Within five seconds, with the exit code that shells expect, one word, and no traceback."""
    process = start(*LONG, "--runs-dir", "my runs")
    path = the_run("my runs")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert (out, err) == ("", f"interrupted; resume with: modelzero train --resume '{path}'\n")  # for a shell
    assert len(list(path.glob("checkpoint-*.json"))) == 1
    assert mz.Run.read(path).status == "interrupted"


def test_a_replay_that_is_interrupted_sends_nobody_to_a_folder_that_is_gone(tmp_path, monkeypatch):
    """It cannot be gone on with: one word, and nothing is left of it."""
    run = mz.train("digits", "convnet", epochs=20, threads=1, progress=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    process = start("replay", str(run.path))
    while not list(Path("tmp").glob("modelzero-replay-*/*/history.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "interrupted\n")
    assert not list(Path("tmp").glob("modelzero-replay-*"))


def test_a_killed_training_is_interrupted_and_goes_on():
    """`runs` says so, `--resume` goes on in the same folder, and the bits are those of one that was not killed."""
    words = ["train", "digits", "--model", "tinyvgg", "--epochs", "12", "--threads", "1", "--checkpoint-every", "0.05s"]
    process = start(*words)
    path = the_run()
    process.kill()
    process.communicate()
    code, out, _ = modelzero("runs", "--json")
    assert [run["status"] for run in json.loads(out)["runs"]] == ["interrupted"]
    code, out, err = modelzero("train", "--resume", str(path), "--json")
    assert code == 0, err
    record = json.loads(out)
    assert (record["id"], record["status"], len(record["history"])) == (path.name, "finished", 12)
    assert (record["resumed"][0]["epoch"], record["resumed"][0]["step"]) > (1, 0)  # it was killed within epoch 1 or 2
    whole = mz.train("digits", "tinyvgg", epochs=12, threads=1, progress=False)
    assert record["files"] == whole.record.as_dict()["files"]
    assert [e["test_loss"] for e in record["history"]] == [e.test_loss for e in whole.history]


def test_what_nohup_ignores_stays_ignored():
    """A training goes on when its terminal closes, where that was asked for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modelzero", *LONG],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # noqa: PLW1509
    )
    the_run()
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_stopped_climb_goes_on():
    """What was finished is read back, what was not is trained, and the ladder is that of a climb in one go."""
    rungs = ["--rungs", "majority,softmax,tinyvgg", "--seeds", "1", "--workers", "1"]
    process = start("climb", "digits", *rungs, "--no-audit")
    path = the_run()
    while mz.Run.read(path).record.model != "tinyvgg":
        path = max(Path("runs").glob("*/history.jsonl"), key=os.path.getmtime).parent
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    ladder = next(Path("runs").glob("*-ladder-*"))
    assert mz.Ladder.read(ladder).record.status == "interrupted"
    finished = {run.path: run.path.joinpath("run.json").stat().st_mtime_ns for run in mz.Ladder.read(ladder).runs}
    assert 0 < len(finished) < 3
    code, out, err = modelzero("climb", "--resume", str(ladder), "--json")
    assert code == 0, err
    assert {path: path.joinpath("run.json").stat().st_mtime_ns for path in finished} == finished
    shown = json.loads(out)
    assert shown["status"] == "finished"
    assert len(shown["runs"]) == 3
    assert not (ladder / "pictures").exists()
    whole = mz.climb(
        "digits", ["majority", "softmax", "tinyvgg"], seeds=1, audit=False, runs_dir="whole", executor=Inline()
    )
    assert [c["difference"] for c in shown["comparisons"]] == [c.difference for c in whole.comparisons]
    assert [r["accuracy"] for r in shown["rungs"]] == [rung.accuracy for rung in whole.rungs]
    again = mz.climb(resume=ladder)
    assert len(again.runs) == 3


def test_a_killed_climb_leaves_no_workers_and_goes_on():
    """SIGKILL to the climbing process: its workers leave checkpoints and end by themselves."""
    process = start("climb", "digits", "--rungs", "majority,tinyvgg", "--seeds", "2", "--no-audit")
    path = the_run()
    while mz.Run.read(path).record.model != "tinyvgg":
        path = max(Path("runs").glob("*/history.jsonl"), key=os.path.getmtime).parent
        time.sleep(0.05)
    process.kill()
    process.communicate()
    ladder = next(Path("runs").glob("*-ladder-*"))
    assert mz.Ladder.read(ladder).record.status == "interrupted"
    for _ in range(100):
        states = [mz.Run.read(record.parent).status for record in Path("runs").glob("*/run.json")]
        if "running" not in states:
            break
        time.sleep(0.1)
    assert "running" not in states
    assert len(mz.climb(resume=ladder).runs) == 3
    states = [mz.Run.read(record.parent).status for record in Path("runs").glob("*/run.json")]
    assert states == ["finished"] * 3


def test_what_cannot_be_resumed_is_refused_in_one_line(digits):
    """With exit code 2, before anything is done."""
    known = mz.train(digits, "model0", epochs=1)
    for words, told in (
        (["train", "--resume", "nothing"], "no run 'nothing'"),
        (["train", "digits", "--seed", "3", "--resume", str(known.path)], "DATA, --seed with --resume"),
        (["climb", "--resume", str(known.path)], "is one run, not a ladder"),
        (["climb", "digits", "--resume", "x"], "DATA with --resume"),
        (["train"], "no data"),
        (["replay", "nothing"], "no run 'nothing'"),
        (["train", "digits", "--checkpoint-every", "soon"], "checkpoint every"),
    ):
        answer = CliRunner().invoke(app, words)
        assert (answer.exit_code, answer.stdout) == (2, ""), words
        assert told in answer.stderr
        assert answer.stderr.count("\n") == 1
