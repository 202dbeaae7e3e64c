"""Claim: damaged files end in a clean load or a named refusal, and no archive writes outside its place.

20,000 mutated files (bits and bytes flipped, ends cut, emptied, chunks doubled or lost, length fields overwritten, the
beginning of another format, another extension) go through `mz.load`: pictures a hundred at a time among sound ones, of
which none may be lost; IDX, gzip, npz, npy, Parquet and CSV files one at a time. 300 archives with members that want to
leave their folder, links, devices, bombs and lies about their size follow. Two processes do it; counted are tracebacks,
hangs (a file that costs its decoding process, or a load of one file that takes more than 2 seconds of processor time or
10 on the clock), what is printed, the growth of memory with all processes, and what appears outside of the cache.

    python benchmarks/hostile_input.py [--files 20000] [--archives 300] [--seed 0]
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import os
import random
import shutil
import struct
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import modelzero as mz
from children import child, ended
from modelzero.data.idx import read_idx

PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
FILES = ("idx", "gz", "npz", "npy", "parquet", "csv")
BUNDLE, SOUND = 100, 20
MOST_GROWTH, MOST_SECONDS, MOST_WALL_SECONDS = 500e6, 2.0, 10.0
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
FIELDS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0", b"\x80\0\0\0")


def picture(kind, draw):
    """Store a small picture in one of the modes that the format has."""
    modes = {"JPEG": ("L", "RGB", "CMYK"), "WEBP": ("RGB", "RGBA"), "GIF": ("L", "P"), "BMP": ("1", "L", "P", "RGB")}
    mode = draw.choice(modes.get(kind, ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")))
    pixels = np.frombuffer(draw.randbytes(12 * 14 * 4), np.uint8).reshape(12, 14, 4)
    if mode == "I;16":
        image = Image.fromarray(pixels.view(np.uint16)[..., 0].copy())
    else:
        image = Image.fromarray(pixels[..., :3].copy()).convert(mode)
    file = io.BytesIO()
    more = {"compression": draw.choice([None, "tiff_lzw", "tiff_deflate", "packbits"])} if kind == "TIFF" else {}
    image.save(file, kind, **more)
    return file.getvalue()


def mutate(content, draw, others):
    """Return the content damaged in some way."""
    content = bytearray(content)
    how = draw.choice(
        ["bits", "bits", "bytes", "cut", "empty", "header", "lost", "doubled", "field", "field", "appended"]
    )
    if how == "empty" or not content:
        return b""
    place = draw.randrange(len(content)) if draw.random() < 0.5 else draw.randrange(min(len(content), 64))
    length = draw.randint(1, max(1, len(content) // 4))
    if how == "bits":
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif how == "bytes":
        content[place : place + length] = draw.randbytes(len(content[place : place + length]))
    elif how == "cut":
        del content[place:]
    elif how == "header":
        head = draw.randint(2, 64)
        content[:head] = draw.choice(others)[:head]
    elif how == "lost":
        del content[place : place + length]
    elif how == "doubled":
        content[place:place] = content[place : place + length]
    elif how == "field":
        content[place : place + 4] = draw.choice(FIELDS)
    elif how == "appended":
        content += draw.randbytes(draw.randint(1, 2000))
    return bytes(content)


def write_pictures(folder, kind, draw, others):
    """Write sound pictures and mutated ones into two classes; return the names of the mutated ones."""
    names = []
    for k in range(SOUND + BUNDLE):
        path = folder / ("a", "b")[k % 2] / f"{k:03}.{EXTENSIONS[kind]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = picture(kind, draw)
        if k >= SOUND:
            names.append(path.name)
            if draw.random() < 0.05:
                path = path.with_suffix("." + draw.choice(sorted(EXTENSIONS.values())))
            content = mutate(content, draw, others)
        path.write_bytes(content)
    return names


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def sound_files(kind, draw):
    """Return the files of a tiny set of one kind: name and content, the one to mutate first."""
    images = np.frombuffer(draw.randbytes(24 * 36), np.uint8).reshape(24, 6, 6)
    labels = (np.arange(24) % 3).astype(np.uint8)
    file = io.BytesIO()
    if kind in ("idx", "gz"):
        names = (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        )
        arrays = (images, labels, images[:6], labels[:6])
        made = [(name, idx_bytes(array)) for name, array in zip(names, arrays, strict=True)]
        first = draw.randrange(4)
        made = [made[first], *made[:first], *made[first + 1 :]]
        return [(f"{name}.gz", gzip.compress(content)) for name, content in made] if kind == "gz" else made
    if kind == "npz":
        draw.choice([np.savez, np.savez_compressed])(file, images=images, labels=labels)
        return [("set.npz", file.getvalue())]
    if kind == "npy":
        np.save(file, images)
        other = io.BytesIO()
        np.save(other, labels.astype(np.int64))
        made = [("images.npy", file.getvalue()), ("labels.npy", other.getvalue())]
        return made if draw.random() < 0.5 else made[::-1]
    pngs = []
    for one in images:
        png = io.BytesIO()
        Image.fromarray(one).save(png, "PNG")
        pngs.append(png.getvalue())
    if kind == "parquet":
        cells = [{"bytes": png, "path": f"{k}.png"} for k, png in enumerate(pngs)]
        table = pa.table({"image": cells, "label": [f"class {k}" for k in labels]})
        pq.write_table(table, file, compression=draw.choice(["snappy", "none", "zstd", "gzip"]))
        return [("set.parquet", file.getvalue())]
    rows = "".join(f"p/{k}.png,class {label}\n" for k, label in enumerate(labels))
    return [("set.csv", ("path,label\n" + rows).encode()), *((f"p/{k}.png", png) for k, png in enumerate(pngs))]


def mutate_inside(kind, content, draw, others):
    """Damage what is compressed, so that the damage is not found by a checksum already."""
    if kind == "gz":
        return gzip.compress(mutate(gzip.decompress(content), draw, others))
    parts = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    file = io.BytesIO()
    chosen = draw.randrange(len(parts))
    with zipfile.ZipFile(file, "w") as archive:
        for k, (name, part) in enumerate(parts):
            archive.writestr(name, mutate(part, draw, others) if k == chosen else part)
    return file.getvalue()


def write_files(folder, kind, draw, others):
    """Write a set of which one file is mutated; return what to load."""
    folder.mkdir(parents=True)
    (first, content), *rest = sound_files(kind, draw)
    if draw.random() < 0.05 and kind in ("npz", "parquet", "csv"):
        first = "set." + draw.choice(["npz", "parquet", "csv", "png", "zip", "tar", "txt"])
    elif kind in ("gz", "npz") and draw.random() < 0.5:
        content = mutate_inside(kind, content, draw, others)
    else:
        content = mutate(content, draw, others)
    for name, part in [(first, content), *rest]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(part)
    return folder if kind in ("idx", "gz", "npy") else folder / first


NAMES = (
    "../escaped.png", "a/../../escaped.png", "/tmp/escaped.png", "/escaped.png", "C:\\escaped.png", "..\\escaped.png",
    "a\\..\\..\\escaped.png", "a/" + "x" * 5000 + ".png", "a/\x1b[31m.png", "a/\n.png", "a/./../b.png", "//escaped.png",
    "a/con.png", "a/.png", "a", "", ".", "..", "a/b/c/d/e/f/g.png", "~/escaped.png", "$HOME/escaped.png",
    "a/\udcff.png",
)  # fmt: skip


KINDS = (
    tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
    tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"Z",
)  # fmt: skip


def write_zip(path, draw):
    """Write a zip with some hostile members."""
    good = picture("PNG", draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for k in range(draw.choice([0, 12])):
                archive.writestr(f"{'ab'[k % 2]}/{k}.png", good)
            for _ in range(draw.randint(1, 4)):
                info = zipfile.ZipInfo(draw.choice(NAMES).encode("utf-8", "replace").decode())
                what = draw.choice(["name", "name", "link", "bomb", "device", "twice"])
                if what == "link":
                    info.external_attr = 0o120777 << 16
                    archive.writestr(info, draw.choice(["/etc/passwd", "../../..", "/tmp"]))
                elif what == "device":
                    info.external_attr = draw.choice([0o020666, 0o060666, 0o010666]) << 16
                    archive.writestr(info, b"")
                elif what == "bomb":
                    archive.writestr("a/bomb.png", bytes(30 << 20), zipfile.ZIP_DEFLATED)
                else:
                    for _ in range(1 + (what == "twice")):
                        archive.writestr(info, good)
    content = bytearray(path.read_bytes())
    if draw.random() < 0.4:  # lies about sizes, checksums, flags or places
        for signature, offsets in ((b"PK\1\2", (8, 16, 20, 24, 42)), (b"PK\3\4", (6, 14, 18, 22))):
            places = [k for k in range(len(content) - 46) if content[k : k + 4] == signature]
            for place in places[-2:]:
                offset = place + draw.choice(offsets)
                content[offset : offset + 4] = draw.choice(FIELDS)
        path.write_bytes(content)


def write_tar(path, draw):
    """Write a tar with some hostile members, compressed or not."""
    good = picture("PNG", draw)
    with tarfile.open(path, "w" + draw.choice(["", ":gz", ":xz"]), format=draw.choice([0, 1, 2])) as archive:
        for k in range(draw.choice([0, 12])):
            info = tarfile.TarInfo(f"{'ab'[k % 2]}/{k}.png")
            info.size = len(good)
            archive.addfile(info, io.BytesIO(good))
        for _ in range(draw.randint(1, 4)):
            info = tarfile.TarInfo(draw.choice([name for name in NAMES if len(name) < 90]))
            info.type = draw.choice(KINDS)
            info.linkname = draw.choice(["/etc/passwd", "../../../../etc/passwd", "/tmp", "a/0.png", ".."])
            info.size = len(good) if info.type == tarfile.REGTYPE else 0
            if archive.format == tarfile.PAX_FORMAT and draw.random() < 0.5:
                info.pax_headers = {
                    "path": draw.choice(["../escaped.png", "/escaped.png"]),
                    "size": draw.choice(["9" * 18, "-1"]),
                }
            archive.addfile(info, io.BytesIO(good))
    if draw.random() < 0.3 and path.read_bytes()[:2] != b"\x1f\x8b":
        path.write_bytes(mutate(path.read_bytes(), draw, [good]))


class Watch:
    """The most memory that this process and those that it started hold together."""

    def __init__(self):
        self.process, self.most, self.running = psutil.Process(), 0, True
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def now(self):
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total

    def _look(self):
        while self.running:
            self.most = max(self.most, self.now())
            time.sleep(0.05)


def tried(source, files, report, **settings):
    """Load a source; return what came of it, as a dictionary."""
    began, processor = time.monotonic(), os.times()
    answer = {"files": files, "outcome": "loaded", "left_out": 0, "why": ""}
    try:
        data = mz.load(source, progress=False, **settings)
        answer["left_out"] = len(data.left_out)
        answer["names"] = [Path(name).name for name, _ in data.left_out]
        answer["hangs"] = sum("took more than" in why for _, why in data.left_out)
        for split in (data.train, data.test):
            sound = str(split.images.dtype) == "torch.uint8" and len(split.images) == len(split.labels) > 0
            if not sound or not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(data.classes):
                answer.update(outcome="TRACEBACK", why="an unsound set came out")
    except mz.ModelZeroError as error:
        answer.update(outcome="refused", why=str(error))
        if "\n" in str(error) or len(str(error)) < 20:
            answer.update(outcome="TRACEBACK", why=f"unclear: {error}")
    except BaseException:
        answer.update(outcome="TRACEBACK", why=traceback.format_exc())
    after = os.times()
    answer["seconds"] = sum(after[:4]) - sum(processor[:4])
    answer["wall"] = time.monotonic() - began
    with report.open("a") as file:
        file.write(json.dumps(answer) + "\n")
    return answer


def listing(*folders):
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for folder in folders for path in folder.rglob("*")
    }


def work(number, share, archives, seed, home, kept):
    """Do a share of the campaign; runs in a process of its own."""
    draw = random.Random(f"{seed} {number}")
    for variable in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        os.environ[variable] = str(home / variable.lower())
        (home / variable.lower()).mkdir(parents=True)
    tempfile.tempdir = None
    os.chdir(home / "home")
    told = os.open(home / "printed", os.O_WRONLY | os.O_CREAT)
    os.dup2(told, 1)
    os.dup2(told, 2)
    others = [picture(kind, draw) for kind in PICTURES] + [sound_files(kind, draw)[0][1] for kind in FILES]
    place = home / "source"
    write_pictures(place, "PNG", random.Random(0), others)
    tried(place, 0, home / "warm-up", allow_unreadable=True)  # imports take memory too
    shutil.rmtree(place)
    watch = Watch()
    before = watch.now()

    def keep(kind, source, answer):
        """Keep what broke a promise, and say so."""
        over = answer["files"] == 1 and (answer["seconds"] > MOST_SECONDS or answer["wall"] > MOST_WALL_SECONDS)
        answer["hangs"] = answer.get("hangs", 0) + over
        if answer["outcome"] == "TRACEBACK" or answer["hangs"]:
            target = kept / f"{kind}-{number}-{time.monotonic_ns()}"
            shutil.copytree(place, target, symlinks=True)
            Path(f"{target}.txt").write_text(f"{source}\n{json.dumps(answer, indent=1)}")

    kinds = [kind for kind, count in share.items() for _ in range(count)]
    draw.shuffle(kinds)
    for kind in kinds:
        if kind in PICTURES:
            names = write_pictures(place, kind, draw, others)
            answer = tried(place, BUNDLE, home / kind, allow_unreadable=True)
            if set(answer.get("names", [])) - {n for name in names for n in _spellings(name)}:
                answer.update(outcome="TRACEBACK", why="a sound picture was left out")
            keep(kind, place, answer)
        else:
            source = write_files(place, kind, draw, others)
            keep(kind, source, tried(source, 1, home / kind))
        shutil.rmtree(place)
        shutil.rmtree(home / "xdg_cache_home", ignore_errors=True)
    for k in range(archives):
        place.mkdir()
        kind = ("zip", "tar")[k % 2]
        source = place / f"hostile.{kind}"
        (write_zip if kind == "zip" else write_tar)(source, draw)
        seen = listing(home / "home", home / "tmpdir", place)
        answer = tried(source, 1, home / kind, allow_unreadable=True)
        if (
            listing(home / "home", home / "tmpdir", place) != seen
            or Path("/tmp/escaped.png").exists()
            or Path("/escaped.png").exists()
        ):
            answer.update(outcome="TRACEBACK", why="something was written outside")
            with (home / "outside").open("a") as file:
                file.write("1\n")
        keep(kind, source, answer)
        shutil.rmtree(place)
    watch.running = False
    (home / "memory").write_text(f"{watch.most - before}")


def _spellings(name):
    return [f"{Path(name).stem}.{extension}" for extension in EXTENSIONS.values()]


def campaign(files, archives, seed, temporary, kept, processes=2):
    """Run it; return the rows of the table, the growth of memory in bytes, what was printed, and what got outside."""
    share = Counter()
    for kind in PICTURES:
        share[kind] = max(1, round(files * 0.6 / len(PICTURES) / BUNDLE))
    for kind in FILES:
        share[kind] = max(1, math.ceil(files * 0.4 / len(FILES)))
    homes, children = [], []
    for number in range(processes):
        own = {kind: (count + number) // processes for kind, count in share.items()}
        homes.append(Path(temporary, f"worker-{number}"))
        homes[-1].mkdir()
        children.append(child(work, number, own, (archives + number) // processes, seed, homes[-1], kept))
    codes = [ended(number) for number in children]
    if any(codes):
        printed = "".join(
            (home / "printed").read_text(errors="replace")[-2000:] for home in homes if (home / "printed").exists()
        )
        sys.exit(f"a process of the campaign ended with {codes}: {printed}")
    rows = defaultdict(Counter)
    slowest = Counter()
    for home in homes:
        for kind in (*PICTURES, *FILES, "zip", "tar"):
            for line in (home / kind).read_text().splitlines() if (home / kind).exists() else ():
                answer = json.loads(line)
                row = rows[kind]
                row["files"] += answer["files"]
                row["hangs"] += answer.get("hangs", 0)
                slowest[kind] = max(slowest[kind], answer["seconds"])
                if answer["outcome"] == "loaded":
                    row["left out"] += answer["left_out"]
                    row["loaded"] += answer["files"] - (answer["left_out"] if answer["files"] > 1 else 0)
                else:
                    row[answer["outcome"]] += answer["files"]
    growth = max(float((home / "memory").read_text()) for home in homes)
    printed = "".join((home / "printed").read_text(errors="replace") for home in homes)
    outside = sum(len((home / "outside").read_text().split()) for home in homes if (home / "outside").exists())
    broken = len(list(Path(kept).glob("*.txt")))
    return rows, slowest, growth, printed, outside, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--archives", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    _ = read_idx  # imported before the processes begin
    kept = Path(tempfile.mkdtemp(prefix="hostile-"))
    with tempfile.TemporaryDirectory() as temporary:
        rows, slowest, growth, printed, outside, broken = campaign(
            arguments.files, arguments.archives, arguments.seed, temporary, kept
        )
    print("| kind | files | loaded | left out by name | refused | tracebacks | hangs | slowest load, processor s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    total = Counter()
    for kind, row in rows.items():
        total += row
        print(
            f"| {kind} | {row['files']:,} | {row['loaded']:,} | {row['left out']:,} | {row['refused']:,} | "
            f"{row['TRACEBACK']} | {row['hangs']} | {slowest[kind]:.2f} |"
        )
    print(
        f"{total['files']:,} files and archives: {total['TRACEBACK']} tracebacks, {total['hangs']} hangs, memory grew "
        f"by {growth / 1e6:.0f} MB, {len(printed)} letters printed, {outside} archives wrote outside"
    )
    if printed:
        print(printed[:2000], file=sys.stderr)
    wrong = bool(broken or printed or outside or growth > MOST_GROWTH)
    if broken:
        print(f"{broken} broke a promise; they are kept in {kept}", file=sys.stderr)
    else:
        shutil.rmtree(kept)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
