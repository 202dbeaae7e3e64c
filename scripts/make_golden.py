"""Write the golden runs, ladders and documents of `tests/golden/`, which later versions have to read and repeat.

They were written once, by the code of before the house was rebuilt: running this again replaces what "nothing changed"
is measured against, and is right only where a change of the numbers was meant.

    python scripts/make_golden.py
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
WORK = Path("/tmp/golden")
sys.path.insert(0, str(ROOT / "tests/shared"))
socket.gethostname = lambda: "golden"

from sklearn.naive_bayes import GaussianNB  # noqa: E402

import golden_sets  # noqa: E402
import modelzero as mz  # noqa: E402

RUNGS = ["majority", "centroid", "knn", "softmax", "model0", "model1", "mlp", "forest", "tinyvgg", "convnet"]
IN_ONE_GO = {"majority", "centroid", "knn", "forest"}
LINEAR = {"softmax", "model0", "model1", "mlp"}


class Stop:
    """Ends a training after some epochs, or copies its folder, as if the process had died then."""

    def __init__(self, after, *, copy=False):
        self.after, self.copy = after, copy

    def begin_epoch(self, epoch):
        pass

    def step(self, images):
        pass

    def end_epoch(self, epoch):
        if epoch.epoch != self.after:
            return
        if self.copy:
            [running] = [path for path in Path("runs").iterdir() if '"running"' in (path / "run.json").read_text()]
            shutil.copytree(running, Path("killed") / running.name)
        else:
            os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Make everything in a folder of its own, then put it in place of what is there."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    os.chdir(WORK)
    leaves, scans = golden_sets.write_folder(WORK / "leaves"), golden_sets.write_table(WORK / "tables")
    digits, arrays = mz.load("digits", share=0.1), golden_sets.arrays()
    index: dict[str, str] = {}

    for name in RUNGS:
        for engine in ("fused", "torch") if name in LINEAR else (None,):
            settings = {} if name in IN_ONE_GO else {"epochs": 2}
            if engine:
                settings["engine"] = engine
            run = mz.train(digits, name, runs_dir="runs", **settings)
            index[f"{name}-{engine}" if engine else name] = run.id
            if name in ("mlp", "convnet"):  # their weights are 340 kB: the record has the checksum
                (run.path / "model.safetensors").unlink()
    index["folder"] = mz.train(leaves, "softmax", epochs=3, runs_dir="runs").id
    index["table"] = mz.train(mz.load(scans, group="patient"), "centroid", runs_dir="runs").id
    index["arrays"] = mz.train(arrays, "model0", epochs=3, runs_dir="runs").id
    index["own"] = mz.train(arrays, golden_sets.small(), runs_dir="runs").id
    index["classifier"] = mz.train(arrays, mz.Rung("bayes", GaussianNB), runs_dir="runs").id
    try:
        mz.train(digits, "model0", learning_rate=1e30, engine="torch", runs_dir="runs")
    except mz.TrainingError as error:
        index["failed"] = Path(str(error).rpartition(" ")[2]).name if "recorded in" in str(error) else newest()
    for key, data, model, settings, after in (
        ("interrupted-fused", arrays, golden_sets.small(), {"engine": "fused"}, 3),
        ("interrupted-torch", arrays, golden_sets.small(), {"engine": "torch"}, 3),
        ("interrupted-tinyvgg", digits, "tinyvgg", {"epochs": 4}, 2),
    ):
        index[f"{key}-whole"] = mz.train(data, model, runs_dir="runs", **settings).id
        try:
            mz.train(data, model, runs_dir="runs", progress=Stop(after), **settings)
        except KeyboardInterrupt:
            index[key] = newest()
    mz.train(arrays, golden_sets.small(), runs_dir="runs", progress=Stop(4, copy=True), checkpoint_every=1e-6)
    index["killed"] = next(Path("killed").iterdir()).name
    shutil.rmtree(Path("runs") / index["killed"])
    shutil.move(Path("killed") / index["killed"], "runs")

    bayes = mz.Rung("bayes", GaussianNB)
    ladders = {
        "ladder-digits": (mz.load("digits", share=0.3), ["majority", "centroid", "knn", "model0"], {"seeds": 2}),
        "ladder-folder": (mz.load(leaves), ["majority", "model0", "model1"], {"seeds": 3}),
        "ladder-table": (mz.load(scans, group="patient"), ["majority", "centroid", "model0"], {"seeds": 3}),
        "ladder-arrays": (
            arrays,
            ["majority", bayes, golden_sets.small(), mz.Rung("broken", make=lambda: 3)],
            {"seeds": 3},
        ),
    }
    documents = {}
    for key, (data, rungs, settings) in ladders.items():
        ladder = mz.climb(data, rungs, workers=1, runs_dir=key, **settings)
        index[key] = ladder.path.name
        documents[key] = ladder.as_dict()

    def stop_after_three(ladder):
        if len(ladder.runs) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    whole = mz.climb(digits, ["centroid", "model0", "model1"], 2, workers=1, runs_dir="ladder-whole")
    index["ladder-whole"], documents["ladder-whole"] = whole.path.name, whole.as_dict()
    try:
        mz.climb(
            digits, ["centroid", "model0", "model1"], 2, workers=1, runs_dir="ladder-stopped", progress=stop_after_three
        )
    except KeyboardInterrupt:
        [index["ladder-stopped"]] = [path.name for path in Path("ladder-stopped").glob("*-ladder-*")]

    run_ids = [index["softmax-fused"], index["centroid"]]
    commands = {
        "train": ["train", "digits", "--model", "softmax", "--epochs", "2", "--share", "0.2", "--runs-dir", "cli"],
        "train-folder": ["train", "leaves", "--model", "model0", "--epochs", "2", "--size", "8", "--runs-dir", "cli"],
        "climb": ["climb", "digits", "--share", "0.2", "--rungs", "majority,knn,softmax", "--seeds", "2", "--workers",
                  "1", "--runs-dir", "cli"],
        "compare": ["compare", f"runs/{run_ids[0]}", f"runs/{run_ids[1]}"],
        "data": ["data", "tables/scans.csv", "--group", "patient"],
        "data-folder": ["data", "leaves", "--test-share", "0.25", "--split-seed", "3"],
        "runs": ["runs", "--runs-dir", "ladder-folder"],
    }  # fmt: skip
    for key, command in commands.items():
        done = subprocess.run([sys.executable, "-m", "modelzero", *command, "--json"], capture_output=True, check=True)
        documents[f"cli-{key}"] = json.loads(done.stdout)

    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for folder in ("runs", *(key for key in index if key.startswith("ladder-"))):
        shutil.copytree(folder, GOLDEN / folder)
    for lock in GOLDEN.rglob(".lock"):
        lock.unlink()
    write(GOLDEN / "index.json", index)
    write(GOLDEN / "commands.json", commands)
    (GOLDEN / "documents").mkdir()
    for key, document in documents.items():
        write(GOLDEN / "documents" / f"{key}.json", document)


def newest() -> str:
    """Return the name of the run that was begun last."""
    return max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime).name


def write(path: Path, value: object) -> None:
    """Write JSON, NaN and infinity spelled out."""
    from modelzero.io.json import to_json

    path.write_text(to_json(value) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
