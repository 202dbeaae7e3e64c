"""Claim: damaged files and hostile archives end in a clean load or a refusal in one line, and nothing else happens.

Everything goes through `mz.load`, in two processes that live long, with a cache, a home and a working folder of their
own. Images are loaded by the hundred, among good ones that must come out as they are; what is odd about a hundred is
looked for file by file. Files are drawn by `hostile_files.py`, archives by `hostile_archives.py`.

- traceback: an exception that is no ModelZeroError, also in a process that decodes, or one that the process did not
  survive; a refusal that is not one printable line or does not name the file; anything on the standard streams; data
  that contradict themselves; a good image that came out otherwise.
- hang: more than 2 s of processor time, of the process and of those that decode for it, for one file, or more than 10 s
  by the clock: on a machine that has other work to do the clock says little.
- memory: the highest resident memory of a process over what it had before the first file, and the same of the largest
  process that decoded for it, added up.
- outside: bytes written anywhere but in the cache. The tree around the archive, home, working and temporary folder are
  listed before and after, and each path that the process opens for writing, makes, links or renames is looked at.

python benchmarks/hostile_input.py [--files 20000] [--archives 300] [--seed 0] [--keep FOLDER] [--again KIND:NUMBER]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))

import hostile_archives
import hostile_files
from modelzero.io.processes import KillableProcess

HANG_SECONDS, HANG_CLOCK_SECONDS = 2.0, 10.0
MOST_GROWTH = 500 << 20
AT_ONCE = 100  # images in one folder
_JOB_SECONDS = {True: 30.0, False: 150.0}  # for one file; for many
_GOOD = 6  # images in each class and split


@dataclasses.dataclass
class Outcome:
    """What became of one file.

    Args:
        kind: of the file.
        number: of the file.
        result: `loaded`, `left out`, `refused`, `traceback` or `hang`.
        words: the reason, or what was wrong.
        seconds: of processor time, of its folder's load where it was loaded among others.
        growth: bytes of memory that this load had more than the process at its start.
        outside: bytes that were written outside.
        what: what happened to the file before.
    """

    kind: str
    number: int
    result: str
    words: str = ""
    seconds: float = 0.0
    growth: int = 0
    outside: int = 0
    what: str = ""


class Room:
    """Folders to load in: `cache`, where may be written, and all others, where nothing may be."""

    def __init__(self, root):
        self.root = Path(root).resolve()
        self.written = set()
        for name in ("cache", "home", "work", "tmp", "outside", "in"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "outside" / "canary.txt").write_text("still here")
        (self.root / "home" / ".profile").write_text("nothing\n")

    def listing(self):
        """Return what lies outside the cache."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            if Path(folder) == self.root:
                folders.remove("cache")
            for name in (*folders, *names):
                path = os.path.join(folder, name)  # noqa: PTH118 - names that no Path can hold
                status = os.lstat(path)
                if Path(path) in (self.root / "tmp", self.root / "in"):
                    continue  # what lies in them counts, not when something last did
                found[path] = status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino
        return found

    def changes(self, before, *, inputs):
        """Return how many bytes were written outside the cache since a listing, and where.

        Args:
            before: the listing.
            inputs: the folder `in` was written by the campaign itself meanwhile.
        """
        after = self.listing()
        changed = [each for each in {*before, *after} if before.get(each) != after.get(each)]
        own = str(self.root / "in") + os.sep
        changed += [each for each in self.written if each not in changed and not (inputs and each.startswith(own))]
        changed += [each for each in hostile_archives.far_away() if Path(each).exists()]
        size = sum(max(1, after[each][1] if each in after else 1) for each in changed)
        return size, f"written outside: {changed[:3]}" if changed else ""

    def watch(self):
        """Look at each path that this process makes or opens for writing, from now on."""
        cache = str(self.root / "cache") + os.sep

        def hook(event, arguments):
            if event == "open":
                path, mode, flags = arguments
                writes = any(each in (mode or "") for each in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            elif event in ("os.mkdir", "os.symlink", "os.link", "os.rename", "os.truncate", "os.chmod", "shutil.move"):
                path, writes = arguments[1 if event in ("os.symlink", "os.link", "os.rename") else 0], True
            else:
                return
            if writes and isinstance(path, str | bytes | os.PathLike):
                path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
                if not path.startswith((cache, "/dev/", "/proc/")):
                    self.written.add(path)

        sys.addaudithook(hook)


def load(path, **settings):
    """Load and look whether it fits together; return the data, or the text of a refusal."""
    import modelzero as mz

    try:
        data = mz.load(path, progress=False, **settings)
    except mz.ModelZeroError as error:
        text = str(error)
        assert text.isprintable(), f"a refusal that cannot be printed: {text!r}"
        assert len(text) < 1500, f"a refusal of {len(text)} characters: {text[:300]}"
        assert str(path) in text, f"a refusal that does not name the file: {text}"
        assert " object at 0x" not in text, text
        return text
    splits = [each for each in (data.train, data.test, data.validation) if each is not None]
    for split in splits:
        assert str(split.images.dtype) == "torch.uint8"
        assert split.images.shape[1:] == data.train.images.shape[1:]
        assert len(split.images) == len(split.labels) > 0
        assert 0 <= split.labels.min() <= split.labels.max() < len(data.classes)
        assert split.names is None or len(split.names) == len(split)
    for name, why in data.left_out:
        assert name
        assert why
        assert why.isprintable(), repr(why)
        assert not re.match(r"\w+(Error|Exception|Warning)\b", why), f"{name}: {why}"
    for note in data.notes:
        assert note.isprintable(), repr(note)
    assert len(data.fingerprint) == 64
    return data


def load_pictures(room, kind, numbers, seed):
    """Load damaged images among good ones; return an outcome for each."""
    folder = room.root / "in" / "pictures"
    names = {}
    good = [hostile_files.saved(hostile_files.Image.fromarray(hostile_files.smooth(k)), "PNG") for k in range(_GOOD)]
    for split in ("train", "test"):
        for label in "ab":
            (folder / split / label).mkdir(parents=True)
            for k, content in enumerate(good):
                (folder / split / label / f"good{k}.png").write_bytes(content)
    for number in numbers:
        ending, content, what = hostile_files.picture(kind, number, seed)
        name = f"{('train', 'test')[number % 2]}/{'ab'[number // 2 % 2]}/{number}{ending}"
        names[name] = number, what
        (folder / name).write_bytes(content)
    sized = numbers[0] // AT_ONCE % 2 == 0
    try:
        data = load(folder, allow_unreadable=True, **({"size": hostile_files.SIDE} if sized else {}))
        assert not isinstance(data, str), data
        left = dict(data.left_out)
        for split, part in (("train", data.train), ("test", data.test)):
            there = {name: k for k, name in enumerate(part.names)}
            for place in (f"{split}/{label}/good{k}.png" for label in "ab" for k in range(_GOOD)):
                right = hostile_files.smooth(int(place[-5])).transpose(2, 0, 1)
                found = part.images[there[place]].numpy()
                assert not sized or (found == right).all(), f"{place} came out otherwise"
        loaded = {*data.train.names, *data.test.names}
        outcomes = []
        for name, (number, what) in names.items():
            result = "left out" if name in left else "loaded" if name in loaded else "passed over"
            assert result != "passed over" or name.endswith((".npz", ".csv", ".parquet", ".zip", ".gz")), name
            words = left.get(name, "")
            result = "hang" if "it took more than" in words else result
            outcomes.append(Outcome(kind, number, result, words, what=what))
    finally:
        shutil.rmtree(folder)
    return outcomes


def load_set(room, kind, number, seed):
    """Load a set with one damaged file."""
    made = hostile_files.source(kind, number, seed)
    folder = room.root / "in" / f"{kind}-{number}"
    for name, content in made.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    try:
        leniently = {"allow_unreadable": number % 3 == 0} if kind in ("parquet", "csv") else {}  # arrays take none
        data = load(folder / made.source, **leniently)
    finally:
        shutil.rmtree(folder)
    if isinstance(data, str):
        return Outcome(kind, number, "refused", data, what=made.what)
    return Outcome(kind, number, "loaded", "; ".join(why for _, why in data.left_out), what=made.what)


def write_archive(room, number, seed):
    """Write a hostile archive; return where, and what is wrong with it."""
    name, content, what = hostile_archives.archive(number, seed, room.root)
    path = room.root / "in" / name
    path.write_bytes(content)
    return path, what


def load_archive(number, path, what):
    """Load a hostile archive."""
    data = load(path, allow_unreadable=number % 3 != 0)
    if isinstance(data, str):
        return Outcome("archive", number, "refused", data, what=what)
    return Outcome("archive", number, "loaded", what=what)


def measured(room, kind, numbers, seed, base=None, decoders=None):
    """Load; add seconds and memory to the outcomes, and whatever a load must not do.

    Args:
        room: where.
        kind: of the files.
        numbers: of the files.
        seed: of the campaign.
        base: bytes of this process and of one that decodes before the first file; None does not measure memory.
        decoders: who knows of the processes that decode.
    """
    if kind == "archive":  # to make one takes seconds and memory too
        made = write_archive(room, numbers[0], seed)
    if base:
        Path("/proc/self/clear_refs").write_text("5")  # the highest memory of this load, not of all before it
        decoders.highest = base[1]
    room.written.clear()
    before, printed, start, clock = room.listing(), _printed(), _seconds(), time.monotonic()
    try:
        if kind == "archive":
            outcomes = [load_archive(numbers[0], *made)]
        elif kind in hostile_files.PICTURES:
            outcomes = load_pictures(room, kind, numbers, seed)
        else:
            outcomes = [load_set(room, kind, numbers[0], seed)]
    except Exception:
        outcomes = [Outcome(kind, number, "traceback", traceback.format_exc()) for number in numbers]
    seconds, clock = _seconds() - start, time.monotonic() - clock
    growth = max(0, _highest() - base[0]) + decoders.highest - base[1] if base else 0
    outside, words = room.changes(before, inputs=kind != "archive")
    if kind == "archive":
        made[0].unlink()
    for each in outcomes:
        each.seconds, each.growth, each.outside = seconds, growth, outside
        each.words = words or each.words
        if _printed() != printed:
            each.result, each.words = "traceback", "something was printed: see the end of the log"
        if seconds > HANG_SECONDS or clock > HANG_CLOCK_SECONDS:
            each.result, each.words = "hang", f"{seconds:.1f} s of processor time, {clock:.1f} s"
    return outcomes


def _seconds():
    """Processor time of this process, and of those that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _highest(process="self"):
    """The highest resident memory of a process, in bytes."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)
    return 0


class Decoders:
    """Looks at the memory of each process that decodes, when it is ended.

    What the system says of ended processes will not do: it counts what the process was before it became another one.
    """

    def __init__(self):
        self.highest = 0
        self._end = KillableProcess.end  # there is no other way to be told
        KillableProcess.end = lambda process: self._look(process)  # noqa: PLW0108 - a method of theirs, not of ours

    def _look(self, process):
        for each in list((process._pool and process._pool._processes) or ()):  # noqa: SLF001
            self.highest = max(self.highest, _highest(each))
        self._end(process)


def _printed():
    return [os.fstat(stream).st_size for stream in (1, 2)]


def work(connection, root, log):
    """Load what comes through the connection, until nothing more does; the standard streams are a file."""
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(number, stream)
    room = Room(root)
    for name, folder in (("XDG_CACHE_HOME", "cache"), ("HOME", "home"), ("TMPDIR", "tmp")):
        os.environ[name] = str(room.root / folder)
    tempfile.tempdir = str(room.root / "tmp")
    os.chdir(room.root / "work")
    decoders = Decoders()
    for kind in hostile_files.SHARES:  # what is imported on first use
        measured(room, kind, [-1], 0)
    measured(room, "archive", [-1], 0)
    os.ftruncate(1, 0)
    room.watch()
    base = _highest(), decoders.highest
    connection.send(None)
    while (job := connection.recv()) is not None:
        connection.send(measured(room, *job, base, decoders))


class Worker:
    """A process that loads, and what it is at."""

    def __init__(self, root):
        self.root, self.log = root, root.with_suffix(".log")
        self.start()

    def start(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.connection, other = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(other, self.root, self.log))
        self.process.start()
        other.close()
        self.job, self.until = None, time.monotonic() + 300

    def give(self, job):
        self.job, self.until = job, time.monotonic() + _JOB_SECONDS[len(job[1]) == 1]
        self.connection.send(job)

    def end(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = psutil.Process(self.process.pid)
            for each in (*tree.children(recursive=True), tree):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        self.process.join()

    def finish(self):
        self.connection.send(None)
        self.process.join(30)


def campaign(files, archives, seed, folder, workers=2, progress=None):
    """Load so many files and archives; return the outcomes."""
    jobs = deque()
    for kind, count in hostile_files.plan(files).items():
        step = AT_ONCE if kind in hostile_files.PICTURES else 1
        jobs.extend((kind, range(start, min(start + step, count)), seed) for start in range(0, count, step))
    jobs.extend(("archive", range(number, number + 1), seed) for number in range(archives))
    outcomes, together = [], []
    staff = [Worker(folder / f"worker{k}") for k in range(workers)]
    try:
        while jobs or any(each.job for each in staff):
            busy = [each for each in staff if each.job or each.until]
            for worker in staff:
                if not worker.until and jobs:
                    worker.give(jobs.popleft())
            ready = wait([each.connection for each in busy], 0.5)
            for worker in staff:
                if not worker.until:
                    continue
                if worker.connection in ready:
                    try:
                        answer = worker.connection.recv()
                    except EOFError:
                        answer = "traceback", "the process ended"
                elif time.monotonic() > worker.until:
                    answer = "hang", f"more than {_JOB_SECONDS[len(worker.job[1]) == 1]:.0f} s by the clock"
                else:
                    continue
                job, worker.job, worker.until = worker.job, None, None
                if job is None and answer is not None:
                    raise SystemExit(f"a process that loads does not start: see {worker.log}")
                if isinstance(answer, tuple):
                    worker.end()
                    worker.start()
                    answer = [Outcome(job[0], number, *answer) for number in job[1]]
                odd = any(each.result in ("traceback", "hang") or each.growth > MOST_GROWTH for each in answer or ())
                if odd and len(answer) > 1:  # which of them was it?
                    together.append(answer)
                    jobs.extendleft((job[0], range(number, number + 1), job[2]) for number in job[1])
                    continue
                outcomes.extend(answer or ())
                if progress:
                    progress(outcomes)
    finally:
        for worker in staff:
            if worker.job is None:
                worker.finish()
            worker.end()
    bad = {(each.kind, each.number) for each in outcomes if is_bad(each)}
    for answer in together:
        if not any((each.kind, each.number) in bad for each in answer):  # what is odd among others only is odd, too
            first = next((each for each in answer if is_bad(each)), answer[0])
            words = f"only among {len(answer)} others: {first.words}"
            outcomes.append(dataclasses.replace(first, result="traceback", words=words))
    return outcomes


def is_bad(outcome):
    """Whether a promise is broken."""
    return outcome.result in ("traceback", "hang") or outcome.outside > 0 or outcome.growth > MOST_GROWTH


def table(outcomes):
    """Count by kind what became of the files."""
    results = ("loaded", "left out", "passed over", "refused", "traceback", "hang")
    lines = [
        f"| kind | files | {' | '.join(results)} | longest s | memory MB | bytes outside |",
        f"| --- |{' ---: |' * (len(results) + 4)}",
    ]
    for kind in (*hostile_files.SHARES, "all files", "archive"):
        of = [each for each in outcomes if each.kind == kind or (kind == "all files" and each.kind != "archive")]
        counts = [sum(each.result == result for each in of) for result in results]
        cells = [len(of), *counts, f"{max((each.seconds for each in of), default=0):.2f}"]
        cells += [f"{max((each.growth for each in of), default=0) / 1e6:.0f}", sum(each.outside for each in of)]
        lines.append(f"| {kind} | {' | '.join(f'{each:,}' if isinstance(each, int) else each for each in cells)} |")
    return "\n".join(lines)


def keep(outcome, seed, folder):
    """Write a failing input into a folder; return it."""
    folder = folder / f"{outcome.kind}-{outcome.number}"
    folder.mkdir(parents=True, exist_ok=True)
    if outcome.kind == "archive":
        name, content, _ = hostile_archives.archive(outcome.number, seed, folder)
        files = {name: content}
    elif outcome.kind in hostile_files.PICTURES:
        ending, content, _ = hostile_files.picture(outcome.kind, outcome.number, seed)
        files = {f"{outcome.number}{ending}": content}
    else:
        files = hostile_files.source(outcome.kind, outcome.number, seed).files
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    again = f"python benchmarks/hostile_input.py --seed {seed} --again {outcome.kind}:{outcome.number}"
    (folder / "why.txt").write_text(f"{outcome.what}\n{outcome.words}\n{again}\n", errors="backslashreplace")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--archives", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where failing inputs are put; a new temporary folder by default")
    parser.add_argument("--again", help="load one file only, such as png:12 or archive:7, and say what became of it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.again:
            kind, _, number = given.again.partition(":")
            print(measured(Room(folder), kind, [int(number)], given.seed)[0])
            return
        begin = time.monotonic()

        def progress(outcomes):
            if sys.stderr.isatty():
                print(f"\r{len(outcomes):,} of {given.files + given.archives:,}", end="", file=sys.stderr, flush=True)

        outcomes = campaign(given.files, given.archives, given.seed, Path(folder), progress=progress)
    print(table(outcomes))
    print(f"seed {given.seed}, {(time.monotonic() - begin) / 60:.0f} minutes")
    bad = [each for each in outcomes if is_bad(each)]
    if bad:
        kept = given.keep or Path(tempfile.mkdtemp(prefix="hostile-"))
        for each in bad:
            print(f"{each.kind}:{each.number} {each.result}, {each.what}: {each.words.strip().splitlines()[-1:]}")
            keep(each, given.seed, kept)
        print(f"{len(bad)} files that broke a promise are in {kept}, each with how to load it again")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
