"""What tests of several rooms use: a training that stops, an executor without processes, a command to be signalled."""

import signal
import subprocess
import sys
from concurrent.futures import Executor, Future

from modelzero.training.bars import Silence


class Stops(Silence):
    """Asks to stop, as a signal does, after so many images."""

    def __init__(self, after):
        self.after, self.images = after, 0

    def step(self, images):
        self.images += images

    def stopped(self):
        return signal.SIGTERM if self.images >= self.after else None


class Inline(Executor):
    """Does each job at once, in this process."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


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
