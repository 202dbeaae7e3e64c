"""Images are decoded once, bad files cost themselves, and a cut or changed cache is no cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modelzero as mz
from modelzero.data.decoding import store
from modelzero.data.decoding.cache import temporary_file
from modelzero.data.decoding.image import decode
from modelzero.data.decoding.store import decode_items
from modelzero.data.readers.listing import Item
from modelzero.io.processes import Processes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep decoded images in a folder of the test's own."""
    monkeypatch.setattr(store, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "decoded"


def make(folder, count=12, sides=(20, 30), seed=0):
    """Write colour PNG files, old enough to be trusted; return their items."""
    folder.mkdir(exist_ok=True)
    draws = np.random.default_rng(seed)
    items = []
    for k in range(count):
        path = folder / f"{k:03d}.png"
        Image.fromarray(draws.integers(256, size=(*sides, 3)).astype(np.uint8)).save(path)
        settle(path)
        items.append(Item(path.name, "a", None, None, str(path)))
    return items


def settle(path, seconds=100):
    os.utime(path, (time.time() - seconds,) * 2)


def load(items, size=None, fit="pad", allow_unreadable=False):
    return decode_items(items, size=size, fit=fit, allow_unreadable=allow_unreadable, progress=False)


def count_decodes(monkeypatch):
    calls = []
    original = store._decode
    monkeypatch.setattr(store, "_decode", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


def test_all_images_come_out_in_order(tmp_path):
    """Also when several processes decode them, and as bytes as well as files."""
    items = make(tmp_path / "p", 230, (9, 8))
    decoded = load(items)
    assert decoded.images.shape == (230, 3, 9, 8)
    assert decoded.kept.tolist() == list(range(230))
    assert decoded.notes == ()
    for k in (0, 63, 64, 229):
        np.testing.assert_array_equal(decoded.images[k], decode(Path(items[k].content).read_bytes()))
    inside = [Item(item.name, "a", None, None, Path(item.content).read_bytes()) for item in items]
    np.testing.assert_array_equal(load(inside).images, decoded.images)


def test_the_second_load_decodes_nothing(tmp_path, monkeypatch):
    """Not the same files, nor the same content elsewhere, nor files that were only touched."""
    calls = count_decodes(monkeypatch)
    items = make(tmp_path / "p")
    first = load(items).images
    settle(Path(items[3].content), 50)
    copies = make(tmp_path / "q")
    for again in (load(items), load(copies)):
        np.testing.assert_array_equal(again.images, first)
    assert len(calls) == 1


def test_a_file_that_looks_the_same_is_not_read_again(tmp_path, monkeypatch):
    items = make(tmp_path / "p")
    monkeypatch.setattr(store, "_SETTLED_SECONDS", -1.0)
    load(items)
    monkeypatch.setattr(store, "_look_at", lambda *_: pytest.fail("read again"))
    load(items)


def test_a_changed_file_is_noticed(tmp_path):
    """Also one of the same size whose times are set back, as long as it changed after all had settled."""
    items = make(tmp_path / "p")
    first = load(items).images.copy()
    old = Path(items[5].content).read_bytes()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(items[5].content)
    settle(Path(items[5].content))
    second = load(items).images
    assert (second[5] == 0).all()
    np.testing.assert_array_equal(np.delete(second, 5, 0), np.delete(first, 5, 0))
    Path(items[5].content).write_bytes(old)
    np.testing.assert_array_equal(load(items).images, first)


def test_size_and_fit_are_kept_apart(tmp_path):
    items = make(tmp_path / "p")
    shapes = [
        load(items, size=size, fit=fit).images.shape for size, fit in ((None, "pad"), ((8, 8), "pad"), ((8, 8), "crop"))
    ]
    assert shapes == [(12, 3, 20, 30), (12, 3, 8, 8), (12, 3, 8, 8)]
    assert not np.array_equal(load(items, size=(8, 8), fit="pad").images, load(items, size=(8, 8), fit="crop").images)


def test_mixed_sizes_get_the_median_one_and_a_note(tmp_path):
    items = [*make(tmp_path / "a", 6, (100, 200)), *make(tmp_path / "b", 4, (30, 60))]
    decoded = load(items)
    assert decoded.images.shape == (10, 3, 32, 64)
    (note,) = decoded.notes
    assert "10 of 10 images were resized to 32 x 64 pixels" in note
    assert "heights were 30 to 100" in note


def test_an_unreadable_file_is_left_out_by_name(tmp_path):
    """Never replaced; the others keep their places."""
    items = make(tmp_path / "p", 300, (8, 8))
    Path(items[7].content).write_bytes(Path(items[7].content).read_bytes()[:60])
    Path(items[200].content).unlink()
    decoded = load(items)
    assert [name for name, _ in decoded.unreadable] == ["007.png", "200.png"]
    assert "damaged" in decoded.unreadable[0][1]
    assert "cannot be opened" in decoded.unreadable[1][1]
    assert decoded.kept.tolist() == [k for k in range(300) if k not in (7, 200)]
    assert len(decoded.images) == 298
    np.testing.assert_array_equal(decoded.images[-1], decode(Path(items[-1].content).read_bytes()))
    again = load(items)
    assert again.unreadable == decoded.unreadable
    np.testing.assert_array_equal(again.images, decoded.images)


def test_too_many_unreadable_files_are_an_error(tmp_path, refuses):
    items = make(tmp_path / "p", 50)
    Path(items[3].content).write_bytes(b"no image")
    with refuses(mz.DataError, "1 of 50 images cannot be read", "003.png: unrecognised", "--allow-unreadable"):
        load(items)
    assert len(load(items, allow_unreadable=True).images) == 49
    with refuses(mz.DataError, "1 of 50"):  # also from the cache
        load(items)
    for item in items:
        Path(item.content).write_bytes(b"")
    with refuses(mz.DataError, "50 of 50", "and 47 more", "at least one readable image"):
        load(items, allow_unreadable=True)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    """A pipe would block for ever, a folder or a device is no image."""
    items = make(tmp_path / "p", 300, (8, 8))
    for k in (1, 2):
        Path(items[k].content).unlink()
    os.mkfifo(items[1].content)
    Path(items[2].content).mkdir()
    decoded = load(items)
    assert decoded.unreadable == (("001.png", "not a regular file"), ("002.png", "not a regular file"))


def test_a_damaged_cache_is_made_anew(tmp_path, cache):
    items = make(tmp_path / "p")
    first = load(items).images.copy()
    (pixels,) = cache.glob("*.npy")
    (told,) = cache.glob("*.json")
    whole, told_whole = pixels.read_bytes(), told.read_bytes()
    for file, content in (
        (pixels, whole[:-100]),
        (pixels, b"\x93NUM" + whole[4:]),
        (told, b"{"),
        (told, told_whole[:-30]),
    ):
        file.write_bytes(content)
        np.testing.assert_array_equal(load(items).images, first)
        assert pixels.read_bytes() == whole
        json.loads(told.read_bytes())


def test_a_cache_that_cannot_be_written_costs_only_the_time(tmp_path, monkeypatch):
    """Where its folder should be lies a file; what is decoded elsewhere does not stay behind."""
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(store, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.setattr(store.tempfile, "gettempdir", lambda: str(tmp_path / "elsewhere"))
    items = make(tmp_path / "p")
    for _ in range(2):
        assert load(items).images.shape == (12, 3, 20, 30)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_written_into_the_images_stays_in_this_process(tmp_path):
    items = make(tmp_path / "p")
    decoded = load(items).images
    kept = decoded.copy()
    decoded[:] = 0
    np.testing.assert_array_equal(load(items).images, kept)


def test_a_decode_that_is_killed_leaves_no_cache(tmp_path, cache):
    """It is really killed while it decodes; the next one finds nothing and does it all."""
    items = make(tmp_path / "p", 400, (8, 8))
    script = (
        "import sys, pathlib, time\n"
        "from modelzero.data.decoding import store\n"
        "from modelzero.data.readers.listing import Item\n"
        "store.cache_folder = lambda: pathlib.Path(sys.argv[1])\n"
        "original = store._keep\n"
        "def slow(*args):\n"
        "    print('decoded', flush=True)\n"
        "    time.sleep(60)\n"
        "store._keep = slow\n"
        "paths = sorted(pathlib.Path(sys.argv[2]).iterdir())\n"
        "items = [Item(p.name, 'a', None, None, str(p)) for p in paths]\n"
        "store.decode_items(items, size=None, fit='pad', allow_unreadable=False, progress=False)\n"
    )
    command = [sys.executable, "-c", script, str(cache.parent), str(tmp_path / "p")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"decoded\n"
        process.send_signal(signal.SIGKILL)
    assert not list(cache.glob("*.npy"))
    (left,) = cache.glob(".decoding~*.tmp")
    os.utime(left, (0, 0))
    assert load(items).images.shape == (400, 3, 8, 8)
    assert not list(cache.glob(".*"))  # nor what it left


def test_what_a_living_process_decodes_into_is_let_be(tmp_path):
    """It is locked, whatever its age; what nobody has locked goes, once it is not quite new; other names stay."""
    for name in (".decoding~new.tmp", ".decoding~old.tmp", ".else.tmp", "decoding~old.tmp"):
        (tmp_path / name).touch()
        if "new" not in name:
            os.utime(tmp_path / name, (0, 0))
    with temporary_file(tmp_path, "decoding") as held:
        os.utime(held, (0, 0))
        sweep = "from pathlib import Path; from modelzero.data.decoding.cache import sweep; sweep(Path())"
        subprocess.run([sys.executable, "-c", sweep], cwd=tmp_path, check=True)
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {held.name, ".decoding~new.tmp", ".else.tmp", "decoding~old.tmp"}


def test_a_damaged_cache_is_decoded_again(tmp_path, cache):
    """A single bit; what is told of it, and a part that was lost, too."""
    items = make(tmp_path / "p")
    right = load(items).images.copy()
    (path,) = cache.glob("*.npy")
    for place in (-1, -1000):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        np.testing.assert_array_equal(load(items).images, right)
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(load(items).images, right)
    (told,) = cache.glob("*.json")
    told.write_text("{")
    np.testing.assert_array_equal(load(items).images, right)


def test_a_job_that_hangs_or_kills_its_process_costs_itself_only():
    """In one bundle with others, which are done."""

    def misbehaves(bundle):
        import os as system
        import time as clock

        for job in bundle:
            if job == "hang":
                clock.sleep(60)
            if job == "crash":
                system._exit(1)
            if job == "fail":
                raise ValueError("a bug")
            if job == "eat":
                bytearray(8 << 30)
        return [f"did {job}" for job in bundle]

    jobs = ["a", "hang", "b", "crash", "c", "fail", "d", "eat", "e"]
    with Processes(2) as processes:
        answers = dict(processes.each(misbehaves, jobs, [range(9)], seconds=1.5))
    assert sorted(answers) == list(range(9))
    for place, job in enumerate(jobs):
        assert (answers[place] == f"did {job}") == (len(job) == 1)
    assert "more than 1.5 s" in answers[1]
    assert "crashed the decoder" in answers[3]
    assert "a bug" in answers[5]
    assert "MemoryError" in answers[7]
