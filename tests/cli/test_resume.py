"""`--resume` as a user meets it, and folders that cannot be written."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from helpers import Stops, start
from modelzero.cli import app
from modelzero.runs.folder import write_record
from modelzero.runs.record import LADDER_RECORD

MINE = """
import modelzero as mz
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.2), nn.Linear(16, 10))

RUNG = mz.Rung("mine", make=Net, epochs=3)
"""


@pytest.fixture
def mine(request):
    """A module of the user's own, beside him, under a name that no other test has."""
    name = f"mine_{abs(hash(request.node.name))}"
    Path(f"{name}.py").write_text(MINE)
    yield name
    sys.path[:] = [folder for folder in sys.path if folder != str(Path.cwd())]
    sys.modules.pop(name, None)


@pytest.fixture
def mounted(tmp_path):
    """Give `mounted(options)`: a tmpfs with these options; its folder."""
    folders = []

    def mount(options):
        folder = tmp_path / f"disk-{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", str(folder)], check=True)


def invoke(command):
    return CliRunner().invoke(app, shlex.split(command))


def cut_off(data, model, after, **settings):
    with pytest.raises(KeyboardInterrupt):
        mz.train(data, model, threads=1, progress=Stops(after), **settings)
    return max(Path("runs").iterdir())


def until_trains(process, rung):
    """Wait until a run of the rung has a line of history."""
    for _ in range(600):
        if any(path.stat().st_size for path in Path("runs").glob(f"*{rung}*/history.jsonl")):
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail("no training began")


def test_where_it_went_on_is_shown(digits):
    """The last lines say from which epoch and step, and in which folder."""
    path = cut_off(digits, "tinyvgg", 2000, epochs=2)
    answer = invoke(f"train --resume {path}")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[-2:] == ["resumed from epoch 2, after 18 steps", f"recorded in {path}"]
    listed = invoke("runs")
    assert listed.stdout.count("finished") == 1
    assert "interrupted" not in listed.stdout


def test_a_model_of_ones_own_is_given_by_its_name(digits, mine):
    """As to `train`; another model than the record's is refused, and so are settings."""
    answer = invoke(f"train digits --model {mine}:RUNG --epochs 2 --threads 1 --runs-dir whole --json")
    whole = json.loads(answer.stdout)
    from modelzero.models.rungs import rung_named

    path = cut_off(digits, rung_named(f"{mine}:RUNG"), 1000, epochs=2)
    refused = {
        f"train --resume {path}": "a model of your own",
        f"train --resume {path} --model model0": "'model0' was given",
        f"train --resume {path} --model {mine}:RUNG --epochs 3": "--epochs with --resume",
    }
    for command, words in refused.items():
        answer = invoke(command)
        assert answer.exit_code == 2, command
        assert answer.stderr.count("\n") == 1
        assert words in answer.stderr
    answer = invoke(f"train --resume {path} --model {mine}:RUNG --json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["files"] == whole["files"]
    assert invoke(f"replay {path}").exit_code == 2
    assert invoke(f"replay {path} --model {mine}:RUNG").stdout.startswith("identical")


def test_rungs_of_ones_own_are_given_by_their_names(mine):
    """A ladder with one goes on from the command line too."""
    answer = invoke(f"climb digits --rungs majority,{mine}:RUNG --seeds 1 --workers 1 --no-audit --json")
    assert answer.exit_code == 0, answer.output
    path = Path(json.loads(answer.stdout)["ladder"])
    record = mz.Ladder.read(path).record
    cells = [record.cells[0], replace(record.cells[1], status="planned", run=None)]
    (run,) = path.parent.glob("*mine*")
    run.rename("aside")
    write_record(path, replace(record, status="interrupted", cells=cells), LADDER_RECORD)
    answer = invoke(f"climb --resume {path}")
    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
    assert "'mine' is a model of your own" in answer.stderr
    answer = invoke(f"climb --resume {path} --rungs {mine}:RUNG --workers 1 --json")
    assert answer.exit_code == 0, answer.output
    again, whole = mz.Run.read(next(path.parent.glob("*mine*"))), mz.Run.read("aside")
    assert again.record.files == whole.record.files


def test_a_folder_that_is_a_file_or_cannot_be_written(mounted):
    """One line that names it, exit code 2, before anything is trained or fetched."""
    Path("file").write_text("mine")
    for folder, why in (("file", "File exists"), ("file/runs", "Not a directory"), (mounted("ro"), "Read-only")):
        for command in ("train digits --epochs 1", "climb digits --rungs majority"):
            answer = invoke(f"{command} --runs-dir {folder}")
            assert answer.exit_code == 2, answer.output
            assert answer.stdout == ""
            assert answer.stderr.count("\n") == 1
            assert why in answer.stderr
            assert "--runs-dir" in answer.stderr
    assert Path("file").read_text() == "mine"


def test_a_disk_that_fills_up_is_one_line_and_nothing_is_lost(mounted):
    """Exit code 1, since the training had begun; what was kept before is there, and more room is all it takes."""
    disk = mounted("size=900k")
    words = f"train digits --model convnet --epochs 3 --threads 1 --checkpoint-every 0.001s --runs-dir {disk}"
    answer = invoke(words)
    assert answer.exit_code == 1, answer.output
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert "free disk space" in answer.stderr
    (path,) = disk.iterdir()
    assert mz.Run.read(path).status in ("failed", "interrupted")
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
    answer = invoke(f"train --resume {path} --json")
    assert answer.exit_code == 0, answer.output
    whole = mz.train("digits", "convnet", epochs=3, threads=1, progress=False)
    assert json.loads(answer.stdout)["files"] == whole.record.as_dict()["files"]
    mz.Run.read(path).check()


def test_a_killed_climb_goes_on_at_once():
    """Without waiting for its workers, which are still at their last step; no rung is given up for that."""
    process = start("climb", "digits", "--rungs", "majority,tinyvgg", "--seeds", "1", "--workers", "2", "--no-audit")
    until_trains(process, "tinyvgg")
    process.kill()
    process.communicate()
    (path,) = Path("runs").glob("*-ladder-*")
    done = subprocess.run(
        [sys.executable, "-m", "modelzero", "climb", "--resume", str(path), "--no-audit", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    shown = json.loads(done.stdout)
    assert shown["left_out"] == []
    assert len(shown["runs"]) == len(list(Path("runs").glob("*seed*"))) == 2
    whole = mz.train("digits", "tinyvgg", seed=42, threads=1, progress=False, runs_dir="whole")
    (run,) = (run for run in mz.Ladder.read(path).runs if run.record.model == "tinyvgg")
    assert run.record.files == whole.record.files


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_climb_that_is_asked_thrice_still_says_what_it_knows(number, code):
    """To all its processes, as a closed terminal and a stopped service do: checkpoints, a record, a table."""
    process = start("climb", "digits", "--rungs", "majority,convnet", "--seeds", "2", "--workers", "1", "--no-audit")
    until_trains(process, "convnet")
    for wait in (0.3, 0.9, 0):  # the last one counts again, and comes while the workers are being ended
        os.killpg(process.pid, number)
        time.sleep(wait)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    (path,) = Path("runs").glob("*-ladder-*")
    assert json.loads((path / "ladder.json").read_text())["status"] == "interrupted"
    assert "Left out: convnet" in out
    assert not (path / "pictures").exists()
    (run,) = Path("runs").glob("*convnet*")
    assert mz.Run.read(run).status == "interrupted"
    assert list(run.glob("checkpoint-*.json"))
