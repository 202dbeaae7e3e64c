"""Claim: no download ever leaves a wrong file in place, whatever the server does.

A local server truncates, lies about the length, sends web pages, stalls, trickles, refuses, redirects in circles,
changes the file between two requests, or compresses on the fly. Each download has one to three mirrors with one to
four such responses each, and perhaps a left-over `.part`. Afterwards the file is either there and correct, or not
there; and one good mirror repairs whatever was left behind.

python benchmarks/downloads.py [--downloads 500] [--seed 0] [--workers 8]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import os
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from modelzero.data.sets.download import download
from modelzero.errors import DataError

RIGHT = random.Random(0).randbytes(20_000) + bytes(380_000)  # compresses well, so that compressed answers are short
OTHER = random.Random(1).randbytes(20_000) + bytes(380_000)  # what the file is changed into
PAGE = b"<!DOCTYPE html><html><body>Please log in to use this network.</body></html>" * 20
MAX_BYTES = 1_000_000
TIMEOUT_SECONDS = 0.25
LONGEST_SECONDS = 30  # 3 mirrors of 4 tries, each a few times silent for TIMEOUT_SECONDS, on a busy machine


class Handler(BaseHTTPRequestHandler):
    """Responds to a request according to the plan of its address; the last response of a plan is repeated."""

    def do_GET(self):
        plan = self.server.plans[self.path.partition("?")[0]]
        behaviour = next(plan)
        self.server.served[self.path.partition("?")[0]].add(behaviour)
        BEHAVIOURS[behaviour](self)

    def log_message(self, *_):
        pass

    def start(self):
        """The first requested byte; None if the whole file is requested."""
        asked = self.headers.get("Range")
        return None if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.flush()

    def serve(self, content, *, most=None, longer=0, lengthy=True):
        """Respond correctly, except for sending at most `most` bytes and adding `longer` to the length."""
        start = self.start()
        if start is not None and start >= len(content):
            self.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
            return
        rest = content[start or 0 :]
        headers = {"Content-Length": len(rest) + longer} if lengthy else {}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(200 if start is None else 206, headers)
        self.wfile.write(rest[:most])
        self.wfile.flush()

    def wait(self, seconds=4 * TIMEOUT_SECONDS):
        """Stay silent, but no longer than the benchmark lasts."""
        self.server.over.wait(seconds)


def no_ranges(handler):
    handler.head(200, {"Content-Length": len(RIGHT)})
    handler.wfile.write(RIGHT)


def chunked_and_cut(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.head(200, {"Transfer-Encoding": "chunked"})
    handler.wfile.write(b"%x\r\n" % len(RIGHT) + RIGHT[:200_000])


def page(handler):
    handler.head(200, {"Content-Type": "text/html", "Content-Length": len(PAGE)})
    handler.wfile.write(PAGE)


def page_in_place_of_a_range(handler):
    start = handler.start() or 0
    handler.head(206, {"Content-Range": f"bytes {start}-{len(RIGHT) - 1}/{len(RIGHT)}", "Content-Length": len(PAGE)})
    handler.wfile.write(PAGE)


def silent_in_the_middle(handler):
    handler.head(200, {"Content-Length": len(RIGHT)})
    handler.wfile.write(RIGHT[:150_000])
    handler.wfile.flush()
    handler.wait()


def silent_at_the_end(handler):
    handler.serve(RIGHT, longer=1)
    handler.wait()


def trickle(handler):
    """Send a byte now and then: never silent, never finished."""
    handler.head(200, {"Content-Length": len(RIGHT)})
    for byte in RIGHT[:1000]:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.over.wait(TIMEOUT_SECONDS / 4):
            return


def trickling_headers(handler):
    """Send headers without end."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    for _ in range(1000):
        handler.wfile.write(b"X-Wait: a little\r\n")
        handler.wfile.flush()
        if handler.server.over.wait(TIMEOUT_SECONDS / 4):
            return


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def reset(handler):
    """Send the length and a part, then reset the connection, so that the client gets an error instead of an end."""
    handler.head(200, {"Content-Length": len(RIGHT)})
    handler.wfile.write(RIGHT[:100_000])
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def endless(handler):
    handler.head(200, {})
    for _ in range(100):
        handler.wfile.write(bytes(MAX_BYTES // 10))


def compressed(handler):
    body = gzip.compress(RIGHT)
    handler.head(200, {"Content-Encoding": "gzip", "Content-Length": len(body)})
    handler.wfile.write(body)


def wrong_range(handler):
    handler.head(206, {"Content-Range": f"bytes 7-{len(RIGHT) - 1}/{len(RIGHT)}", "Content-Length": len(RIGHT) - 7})
    handler.wfile.write(RIGHT[7:])


def flipped(handler):
    content = bytearray(RIGHT)
    content[len(content) // 3] ^= 1
    handler.serve(bytes(content))


BEHAVIOURS = {
    "good": lambda handler: handler.serve(RIGHT),
    "good, no ranges": no_ranges,
    "good, no length": lambda handler: handler.serve(RIGHT, lengthy=False),
    "good, after a redirect": lambda handler: handler.head(302, {"Location": handler.path + "?again"}),
    "cut at once": lambda handler: handler.serve(RIGHT, most=0),
    "cut": lambda handler: handler.serve(RIGHT, most=123_457),
    "cut before the last byte": lambda handler: handler.serve(RIGHT, most=len(RIGHT) - 1),
    "cut, no length": lambda handler: handler.serve(RIGHT, most=123_457, lengthy=False),
    "chunked and cut": chunked_and_cut,
    "reset": reset,
    "hangs up": hang_up,
    "length too long": lambda handler: handler.serve(RIGHT, longer=1000),
    "length too short": lambda handler: handler.serve(RIGHT, longer=-1000),
    "length not a number": lambda handler: handler.head(200, {"Content-Length": "many"}) or handler.wfile.write(RIGHT),
    "negative length": lambda handler: handler.head(200, {"Content-Length": "-5"}) or handler.wfile.write(RIGHT),
    "page with status 200": page,
    "page as a range": page_in_place_of_a_range,
    "wrong range": wrong_range,
    "silent": lambda handler: handler.wait(),
    "silent in the middle": silent_in_the_middle,
    "silent at the end": silent_at_the_end,
    "trickle": trickle,
    "trickling headers": trickling_headers,
    "status 403": lambda handler: handler.head(403, {"Content-Length": 0}),
    "status 404": lambda handler: handler.head(404, {"Content-Length": 0}),
    "status 500": lambda handler: handler.head(500, {"Content-Length": 0}),
    "status 204": lambda handler: handler.head(204, {}),
    "status 416": lambda handler: handler.head(416, {"Content-Length": 0}),
    "redirects in a circle": lambda handler: handler.head(302, {"Location": handler.path}),
    "redirects to a file": lambda handler: handler.head(302, {"Location": "file:///etc/passwd"}),
    "redirects nowhere": lambda handler: handler.head(302, {"Location": "http://127.0.0.1:9/file"}),
    "another file": lambda handler: handler.serve(OTHER),
    "another file, cut": lambda handler: handler.serve(OTHER, most=234_567),
    "compressed on the fly": compressed,
    "one bit flipped": flipped,
    "empty": lambda handler: handler.serve(b"", lengthy=True),
    "endless": endless,
    "speaks another protocol": lambda handler: handler.wfile.write(b"220 smtp.example.org ESMTP\r\n"),
}
LEFT_OVER = [None, None, b"", RIGHT[:100_000], OTHER[:100_000], RIGHT, OTHER, RIGHT + b"more", bytes(MAX_BYTES + 1)]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plans, self.served, self.over = {}, {}, threading.Event()

    def handle_error(self, request, client_address):
        """Ignore clients that hang up; they are expected here."""

    def mirror(self, *behaviours):
        """Return a new address that responds like this, repeating the last response."""
        path = f"/{len(self.plans)}/file.gz"
        self.served[path] = set()
        self.plans[path] = itertools.chain(behaviours, itertools.repeat(behaviours[-1]))
        return f"http://127.0.0.1:{self.server_port}{path}"


@dataclass
class Outcome:
    """The result of one download."""

    served: set[str] = field(default_factory=set)
    result: str = ""  # "right", "refused", or what went wrong
    seconds: float = 0


def check(path):
    """Accept only the right content."""
    if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(RIGHT).digest():
        raise DataError("wrong content")


def one(server, folder, chance):
    """Download once from mirrors that misbehave; if that fails, once more from a good one."""
    plans = [chance.choices(list(BEHAVIOURS), k=chance.randint(1, 4)) for _ in range(chance.randint(1, 3))]
    left = chance.choice(LEFT_OVER)
    urls = [server.mirror(*plan) for plan in plans]
    target = folder / "file.gz"
    part = folder / "file.gz.part"
    folder.mkdir()
    if left is not None:
        part.write_bytes(left)
    outcome = Outcome()
    begin = time.monotonic()
    try:
        download(urls, target, check, max_bytes=MAX_BYTES, timeout_seconds=TIMEOUT_SECONDS, progress=False)
        outcome.result = "right"
    except DataError as error:
        outcome.result = "refused" if all(f"{url} (" in str(error) for url in urls) else f"unclear: {error}"
    except Exception as error:
        outcome.result = f"{type(error).__name__}: {error}"
    outcome.seconds = time.monotonic() - begin
    outcome.served = set().union(*(server.served[f"/{url.split('/', 3)[3]}"] for url in urls))
    if target.exists() != (outcome.result == "right"):
        outcome.result = f"{outcome.result}, but the file is {'' if target.exists() else 'not '}there"
    if target.exists() and target.read_bytes() != RIGHT:
        outcome.result = "WRONG FILE"
    if {path.name for path in folder.iterdir()} - {target.name, part.name} or (target.exists() and part.exists()):
        outcome.result = "files left over"
    if outcome.seconds > LONGEST_SECONDS:
        outcome.result = "hung"
    if outcome.result == "refused":
        download([server.mirror("good")], target, check, max_bytes=MAX_BYTES, timeout_seconds=20, progress=False)
        if target.read_bytes() != RIGHT:
            outcome.result = "WRONG FILE, later"
    return outcome


def run(downloads, seed, workers, folder):
    """Run this many downloads into a folder; return their results."""
    os.environ["no_proxy"] = "127.0.0.1"
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(one, server, folder / str(number), random.Random(f"{seed} {number}"))
                for number in range(downloads)
            ]
            return [job.result() for job in jobs]
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def table(outcomes):
    """Count the results of the downloads that met each behaviour."""
    lines = [f"{'behaviour met':28} {'downloads':>9} {'right':>6} {'refused':>8} {'other':>6}"]
    rows = [(name, [outcome for outcome in outcomes if name in outcome.served]) for name in BEHAVIOURS]
    for name, met in [*rows, ("all", outcomes)]:
        counts = Counter(outcome.result for outcome in met)
        other = len(met) - counts["right"] - counts["refused"]
        lines.append(f"{name:28} {len(met):9} {counts['right']:6} {counts['refused']:8} {other:6}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=8)
    given = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(given.downloads, given.seed, given.workers, Path(folder))
    print(table(outcomes))
    print(
        f"the longest took {max(outcome.seconds for outcome in outcomes):.1f} s, all {time.monotonic() - begin:.0f} s"
    )
    bad = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.result not in ("right", "refused")]
    for number, outcome in bad:
        print(f"download {number}: {outcome.result} after {', '.join(sorted(outcome.served))}")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
