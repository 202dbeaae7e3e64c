"""What the tests of every room share."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

import modelzero as mz


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    """A cache folder that all tests of all test processes share, in place of the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path, monkeypatch, session_cache):
    """Each test works in a folder of its own, without the user's settings, and leaves the random numbers alone."""
    for module in ("modelzero.data.auditing.searched", "modelzero.data.decoding.store", "modelzero.data.sets.digits"):
        monkeypatch.setattr(f"{module}.cache_folder", lambda: session_cache)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELZERO_DATA", raising=False)
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture(scope="session")
def fashion_mnist():
    """Fashion-MNIST, from this machine or its publisher."""
    try:
        return mz.load("fashion-mnist")
    except mz.DataError as error:
        if "CI" in os.environ:
            pytest.fail(f"CI needs Fashion-MNIST: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's handwritten digits."""
    return mz.load("digits")


@pytest.fixture
def refuses():
    """Give `with refuses(Error, "word", ...)`: the block raises Error, in one line that holds all the words."""

    @contextmanager
    def context(kind, *words):
        with pytest.raises(kind) as caught:
            yield caught
        message = str(caught.value)
        assert "\n" not in message
        assert message.strip()
        for word in words:
            assert str(word) in message

    return context


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Stay silent: clients that hang up are what these tests are about."""


@pytest.fixture
def serve(monkeypatch):
    """Give `serve(answer)`: a server on this machine that calls `answer(handler)` for each GET; its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
