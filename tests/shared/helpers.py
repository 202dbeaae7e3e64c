"""What tests of several rooms use: a training that stops, an executor without processes, a command to be signalled."""

import json
import shlex
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future

import modelzero as mz
from modelzero.runs.record import RunRecord, plain_value
from modelzero.runs.seal import sealed
from modelzero.training.bars import Silence


class Stops(Silence):
    """Sends this process SIGTERM, once, after so many images."""

    def __init__(self, after):
        self.after, self.images, self.sent = after, 0, False

    def step(self, images):
        self.images += images
        if self.images >= self.after and not self.sent:
            self.sent = True
            signal.raise_signal(signal.SIGTERM)


class Inline(Executor):
    """Does each job at once, in this process."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def climb(data, rungs=None, **settings):
    """Climb in this process: starting workers takes longer than training on a few images."""
    return mz.climb(data, rungs, executor=Inline(), **settings)


def shortened(command):
    """Return the arguments of a `modelzero` command of the docs, with a tenth of Fashion-MNIST and a short ladder."""
    words = shlex.split(command)[1:]
    if words[0] == "climb" and "digits" not in words:
        words += ["--share", "0.1", "--no-audit"]
    if words[0] == "climb" and "--rungs" not in words:
        words += ["--rungs", "majority,knn,softmax,mlp"]
    return words


def start(*words):
    """Start a command in a session of its own, with Ctrl-C as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelzero", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


# The JSON of a small record, whole enough to be read.
RECORD = {
    "format": 1,
    "id": "a",
    "status": "finished",
    "model": "model0",
    "seed": 42,
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 0.1,
    "recipe": {"model": "model0", "hidden_units": 10},
    "data": {
        "name": "two",
        "source": "memory",
        "fingerprint": "0",
        "classes": ["a", "b"],
        "train_images": 10,
        "test_images": 10,
        "image_shape": [1, 8, 8],
    },
    "history": [],
    "train_seconds": 0.0,
    "environment": {"versions": {}, "threads": 1, "device": "cpu"},
    "test_reads": 0,
}


def record(**changes):
    """Return a small record of a run."""
    return RunRecord.from_dict({**RECORD, **changes})


def rewrite(folder, name="run.json", change=lambda stored: None, **fields):
    """Change the JSON of a record by hand, with a checksum that is right."""
    stored = json.loads((folder / name).read_text(encoding="utf-8"))
    change(stored)
    (folder / name).write_text(sealed(stored | plain_value(fields))[1], encoding="utf-8")
