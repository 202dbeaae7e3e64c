"""Damaged and hostile files, generated from a seed, for `hostile_input.py`.

Each file is determined by (kind, number, seed). It starts as a small valid file, in one of several variants of its
kind; then one to three changes are made. Some changes know the format and repair its checksums, so that the damage gets
past them.
"""

# ruff: noqa: ARG001 - all changes are called alike

from __future__ import annotations

import csv
import functools
import gzip
import io
import random
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

PICTURES = {"png": 3000, "jpeg": 3000, "webp": 2000, "gif": 2000, "bmp": 1500, "tiff": 3000}
OTHERS = {"idx": 1200, "gz": 1200, "npz": 900, "npy": 800, "parquet": 700, "csv": 700}
SHARES = PICTURES | OTHERS  # of 20,000
SIDE = 24  # of the images in files of their own
ENDINGS = (".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".dat", "", ".npz", ".csv", ".parquet", ".zip", ".gz")
_EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Source:
    """What to load.

    Args:
        files: content by path.
        target: the path of the file that was damaged.
        source: the path to load; "" is the folder of all files.
        what: how the file was damaged, in words.
    """

    files: dict[str, bytes]
    target: str
    source: str
    what: str


def plan(files):
    """Return the number of files of each kind for a total number."""
    counts = {kind: files * share // sum(SHARES.values()) for kind, share in SHARES.items()}
    counts["png"] += files - sum(counts.values())
    return counts


def picture(kind, number, seed):
    """Return the extension and the content of a damaged image, and how it was damaged."""
    draws = random.Random(f"{seed} {kind} {number}")
    content = draws.choice(originals(kind))
    changes = [*COMMON, *OF_KIND.get(kind, ()), *OF_KIND.get(kind, ())]
    content, what = _changed(content, changes, draws)
    ending = {"jpeg": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")
    if draws.random() < 0.1:
        ending = draws.choice(ENDINGS)
        what += f", called {ending or 'nothing'}"
    return ending, content, what


def source(kind, number, seed):
    """Return a dataset with one damaged file that is not an image."""
    draws = random.Random(f"{seed} {kind} {number}")
    return {"idx": _idx, "gz": _gz, "npz": _npz, "npy": _npy, "parquet": _parquet, "csv": _csv}[kind](draws)


# What happens to files of any kind.


def flip_bits(content, draws):
    content = bytearray(content)
    for _ in range(draws.randint(1, 8) if content else 0):
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
    return bytes(content)


def flip_bytes(content, draws):
    content = bytearray(content)
    for _ in range(draws.randint(1, 8) if content else 0):
        content[draws.randrange(len(content))] = draws.randrange(256)
    return bytes(content)


def flip_in_header(content, draws):
    return flip_bytes(content[:64], draws) + content[64:]


def truncate(content, draws):
    return content[: draws.randrange(len(content) + 1)]


def nothing_left(content, draws):
    return b""


def swap_header(content, draws):
    other = draws.choice(originals(draws.choice(list(PICTURES)))) if draws.random() < 0.7 else draws.choice(_magics())
    k = draws.choice((2, 4, 8, 12, 16, 26, 32, 64))
    return other[:k] + content[k:]


def remove_piece(content, draws):
    start, end = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    end = min(end, start + draws.choice((1, 4, 16, 64, 100_000)))
    return content[:start] + content[end:]


def double_piece(content, draws):
    start, end = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[start:end] * draws.randint(1, 3) + content[end:]


def zero_piece(content, draws):
    start, end = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + bytes(end - start) + content[end:]


def append_noise(content, draws):
    return content + draws.randbytes(draws.choice((1, 100, 5000)))


def change_number(content, draws):
    """Put an extreme number where a length, size or offset may be; more often near the beginning."""
    content = bytearray(content)
    for _ in range(draws.randint(1, 3)):
        width = draws.choice((1, 2, 4, 4, 8))
        if len(content) < width:
            break
        place = draws.randrange(len(content) - width + 1)
        place = place % 64 if draws.random() < 0.6 and place % 64 + width <= len(content) else place
        value = (draws.choice(_EXTREME) + draws.choice((-1, 0, 0, 1))) % (1 << 8 * width)
        content[place : place + width] = value.to_bytes(width, draws.choice(("big", "little")))
    return bytes(content)


COMMON = (
    flip_bits, flip_bytes, flip_in_header, truncate, nothing_left, swap_header, remove_piece, double_piece, zero_piece,
    append_noise, change_number, change_number,
)  # fmt: skip


# Changes to files of one kind; checksums are valid afterwards.


def png_chunks(content, draws):
    """Change, duplicate, remove, shuffle or invent chunks."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return content
    k = draws.randrange(len(chunks))
    name, data = chunks[k]
    how = draws.randrange(7)
    if how == 0:
        chunks[k] = name, draws.choice(COMMON)(data, draws)
    elif how == 1:
        chunks.insert(draws.randrange(len(chunks)), chunks[k])
    elif how == 2:
        del chunks[k]
    elif how == 3:
        draws.shuffle(chunks)
    elif how == 4:
        chunks[0] = b"IHDR", png_header(chunks[0][1], draws)
    elif how == 5:  # the pixels: other than declared
        packed = zlib.compress(draws.randbytes(draws.choice((0, 1, 50, 3000))) * draws.choice((1, 1, 200)))
        chunks = [each if each[0] != b"IDAT" else (b"IDAT", packed) for each in chunks]
    else:
        kind = draws.choice((b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"acTL", b"fcTL", b"fdAT",
                             b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"\0\0\0\0", b"IEND", b"IDAT"))  # fmt: skip
        data = draws.choice((b"", draws.randbytes(draws.randrange(60)), b"x\0\0" + zlib.compress(bytes(3_000_000))))
        chunks.insert(draws.randint(1, len(chunks)), (kind, data))
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def png_header(data, draws):
    """Change width, height, depth, colour type or interlacing."""
    data = bytearray(data.ljust(13, b"\0")[:13])
    if draws.random() < 0.5:
        struct.pack_into(">II", data, 0, *(_side(draws) for _ in range(2)))
    else:
        data[draws.randint(8, 12)] = draws.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return bytes(data)


def jpeg_segments(content, draws):
    """Duplicate, remove, shuffle or lengthen segments; change size, tables or components."""
    segments, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        segments.append(bytearray(content[place : place + 2 + size]))
        place += 2 + size
    if not segments or not all(len(each) > 4 for each in segments):
        return content
    k = draws.randrange(len(segments))
    how = draws.randrange(6)
    if how == 0:
        segments.insert(draws.randrange(len(segments)), segments[k])
    elif how == 1:
        del segments[k]
    elif how == 2:
        draws.shuffle(segments)
    elif how == 3:
        segments[k][2:4] = draws.choice((0, 1, 2, 3, 10, 500, 65535)).to_bytes(2, "big")
    elif how == 4:
        segments[k][4:] = draws.choice((flip_bits, flip_bytes))(bytes(segments[k][4:]), draws)
    else:
        for each in segments:
            if each[1] in (0xC0, 0xC1, 0xC2) and len(each) > 9:
                struct.pack_into(">HH", each, 5, *(min(_side(draws), 65535) for _ in range(2)))
    return content[:2] + b"".join(map(bytes, segments)) + content[place:]


def sides_of(place, form, most):
    """Return a change that writes another width and height at a place."""

    def sides(content, draws):
        content = bytearray(content)
        if len(content) >= place + struct.calcsize(form):
            struct.pack_into(form, content, place, *(min(_side(draws), most) for _ in range(2)))
        return bytes(content)

    return sides


def bmp_compression(content, draws):
    """Declare run-length encoding, or another depth, although the data may have neither."""
    content = bytearray(content)
    if len(content) >= 34:
        struct.pack_into("<HI", content, 28, draws.choice((1, 4, 8, 16, 24, 32)), draws.choice((0, 1, 2, 3, 4, 6)))
    return bytes(content)


def webp_length(content, draws):
    """Correct the total length, which damage would not do."""
    return content[:4] + struct.pack("<I", max(0, len(content) - 8)) + content[8:]


def tiff_entries(content, draws):
    """Change tag, type, count or value of some entries of the first directory."""
    if content[:2] not in (b"II", b"MM") or len(content) < 10:
        return content
    order = "<" if content[:2] == b"II" else ">"
    content = bytearray(content)
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    if start + 2 > len(content):
        return bytes(content)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    for _ in range(draws.randint(1, 3)):
        place = start + 2 + 12 * draws.randrange(max(1, count))
        if place + 12 > len(content):
            continue
        how = draws.randrange(5)
        if how == 0:
            tags = (256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 338, 339, 530, 34665)
            struct.pack_into(f"{order}H", content, place, draws.choice(tags))
        elif how == 1:
            struct.pack_into(f"{order}H", content, place + 2, draws.randint(0, 14))
        elif how == 2:
            struct.pack_into(f"{order}I", content, place + 4, draws.choice(_EXTREME))
        else:
            value = draws.choice((*_EXTREME, 3, 4, 5, 7, 8, 16, 24, 32, 34712, 50000, 32773, _side(draws)))
            struct.pack_into(f"{order}I", content, place + 8, value)
    return bytes(content)


def idx_dimensions(content, draws):
    """Change the type, the number of dimensions or one of them."""
    content = bytearray(content)
    how = draws.randrange(3)
    if len(content) >= 16:
        if how < 2:
            content[2 + how] = draws.choice((0, 1, 2, 3, 4, 8, 9, 11, 12, 13, 14, 255))
        else:
            struct.pack_into(">I", content, 4 * draws.randint(1, 3), draws.choice((*_EXTREME, 6, 19, 20, 21)))
    return bytes(content)


def npy_header(content, draws):
    """Change the text of the header, which numpy parses as Python."""
    replacements = (
        (b"'|u1'", (b"'|O'", b"'<f8'", b"'|S9999999999'", b"'<U99'", b"'|V8'", b"[('a','<i4')]", b"'<M8[s]'",
                    b"'|u1,|u1'", b"('|u1', (999, 999))", b"'|b1'", b"'<c16'", b"'|S0'", b"__import__('os')", b"None")),
        (b"False", (b"True", b"None", b"0", b"(((((", b"1 if", b"0x1for")),
        (b"(20,", (b"(-20,", b"(20L,", b"(0,", b"(2.5,", b"(99999999999999999999,", b"(10,2,", b"('20',", b"20,",
                   b"(02,", b"(1_0,", b"(" * 90)),
        (b"descr", (b"desc\\d", b"descr'", b"\xff\xfe", b"shape", b"descr\\N{x}")),
    )  # fmt: skip
    old, news = draws.choice(replacements)
    new = draws.choice(news)
    if content[6:7] == b"\1" and len(content) > 128:
        size = int.from_bytes(content[8:10], "little")
        header = content[10 : 10 + size].replace(old, new)
        header = header.rstrip(b" \n").ljust(size - 1)[: max(size - 1, 200)] + b"\n"
        content = content[:8] + len(header).to_bytes(2, "little") + header + content[10 + size :]
    return content


def csv_cells(content, draws):
    """Put text into some cells that nobody would write."""
    rows = [line.split(",") for line in content.decode("utf-8", "replace").split("\n")]
    strange = ("", "../a/0.png", "/etc/passwd", "a/\0.png", '"', '""a', "C:\\x.png", "x" * 5000, "a\\0.png", "\x1b[31m",
               "a/0.png\r", "\u202e\u0000", "=1+1", "http://a/0.png", ".", "..", "a", "~", "-1", "train", "\ud7ff" * 9,
               "a/" * 2000 + "0.png", "x" * 200_000, "label", "a/nowhere.png")  # fmt: skip
    for _ in range(draws.randint(1, 4)):
        row = draws.choice(rows)
        row[draws.randrange(len(row))] = draws.choice(strange)
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


OF_KIND = {
    "png": (png_chunks,) * 4,
    "jpeg": (jpeg_segments,) * 4,
    "gif": (sides_of(6, "<HH", 65535),),
    "bmp": (sides_of(18, "<ii", 2**31 - 1), bmp_compression),
    "webp": (webp_length,),
    "tiff": (tiff_entries,) * 4,
}


def _changed(content, changes, draws):
    names = []
    for _ in range(draws.choice((1, 1, 1, 2))):
        change = draws.choice(changes)
        content = change(content, draws)
        names.append(change.__name__)
    return content, " + ".join(names)


def _side(draws):
    return draws.choice((0, 1, 3, 23, 25, 100, 5000, 7000, 7071, 30_000, 65_535, 1 << 20, 2**31 - 1))


# What there is before it is damaged.


def saved(image, form, **settings):
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def smooth(seed, channels=3, side=SIDE):
    """Return pixels with some structure, uint8 [side, side, channels]."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), np.uint8)
    image = np.kron(small, np.ones((side // 6, side // 6, 1), np.uint8))
    return image[..., 0] if channels == 1 else image


@functools.cache
def originals(kind):
    """Return valid files of a kind, in all its variants."""
    grey, colour, clear = (Image.fromarray(smooth(k, k)) for k in (1, 3, 4))
    deep = Image.fromarray(smooth(5, 1).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    some = {"L": grey, "RGB": colour, "RGBA": clear, "P": colour.quantize(16), "1": grey.convert("1")}
    frames = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    if kind == "png":
        made = [saved(image, "PNG") for image in (*some.values(), deep, clear.convert("LA"))]
        made += [saved(some["P"], "PNG", transparency=3), saved(colour, "PNG", exif=exif, icc_profile=bytes(300))]
        return [*made, saved(grey, "PNG", transparency=7), saved(colour, "PNG", **frames)]
    if kind == "jpeg":
        made = [saved(image, "JPEG") for image in (grey, colour, colour.convert("CMYK"))]
        made += [saved(colour, "JPEG", progressive=True, exif=exif), saved(colour, "JPEG", icc_profile=bytes(300))]
        made += [saved(colour.resize((200, 150)), "JPEG", restart_marker_rows=1, subsampling=2)]
        return [*made, saved(colour, "MPO", save_all=True, append_images=[colour.rotate(90)])]
    if kind == "webp":
        made = [saved(image, "WEBP", lossless=lossless) for image in (colour, clear) for lossless in (False, True)]
        return [*made, saved(colour, "WEBP", exif=exif), saved(colour, "WEBP", **frames)]
    if kind == "gif":
        made = [saved(image, "GIF") for image in (grey, colour, some["P"], some["1"])]
        return [*made, saved(some["P"], "GIF", transparency=3), saved(colour, "GIF", **frames, loop=0)]
    if kind == "bmp":
        made = [saved(image, "BMP") for image in some.values()]
        header = b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 256, 0)
        return [*made, header + bytes(range(256)) * 4 + (bytes((SIDE, 9)) + b"\0\0") * SIDE + b"\0\1"]
    packings = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    made = [saved(colour, "TIFF", compression=each) for each in packings]
    made += [saved(image, "TIFF", compression=each) for image in (grey, clear, deep) for each in packings[:3]]
    made += [saved(some["1"], "TIFF", compression=each) for each in ("group3", "group4", None)]
    made += [saved(image, "TIFF") for image in (some["P"], colour.convert("CMYK"), colour.convert("YCbCr"))]
    made += [saved(Image.fromarray(smooth(6, 1).astype(np.float32) / 255), "TIFF"), saved(colour, "TIFF", **frames)]
    return [*made, saved(Image.fromarray(smooth(7, 1).astype(np.int32)), "TIFF"), saved(colour, "TIFF", exif=exif)]


def _arrays():
    """Return twenty images of 6x6 and their labels."""
    images = np.random.default_rng(8).integers(0, 256, (20, 6, 6), np.uint8)
    return images, np.arange(20, dtype=np.uint8) % 2


def _as_idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _as_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@functools.cache
def _magics():
    images, labels = _arrays()
    return [_as_idx(images), gzip.compress(_as_idx(labels)), _as_npy(images), _zipped({"a": b"a"}), b"PAR1" + bytes(60)]


def _zipped(files, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return file.getvalue()


def _damaged(files, draws, changes):
    target = draws.choice(sorted(files))
    files[target], what = _changed(files[target], changes, draws)
    return target, what


_IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx(draws):
    files = dict(zip(_IDX_NAMES, map(_as_idx, 2 * _arrays()), strict=True))
    target, what = _damaged(files, draws, (*COMMON, *(idx_dimensions,) * 4))
    return Source(files, target, "", what)


def _gz(draws):
    """Damage the content and pack it again, or the file itself; perhaps several members, or far more than declared."""
    files = dict(zip(_IDX_NAMES, map(_as_idx, 2 * _arrays()), strict=True))
    how = draws.randrange(3)
    target, what = _damaged(files, draws, (*COMMON, idx_dimensions)) if how == 0 else (draws.choice(_IDX_NAMES), "")
    if how == 1 and draws.random() < 0.3:
        files[target] += bytes(100_000_000)
        what = "a hundred million bytes too many"
    files = {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in files.items()}
    target = f"{target}.gz"
    if not what and draws.random() < 0.2:
        half = draws.randrange(len(files[target]))
        files[target] = files[target] + files[target][half:]
        what = "more after the end"
    if not what:
        files[target], what = _changed(files[target], COMMON, draws)
    return Source(files, target, "", what)


def _layout(draws):
    images, labels = _arrays()
    names = draws.choice((("x_train", "y_train", "x_test", "y_test"), ("images", "labels")))
    arrays = dict(zip(names, (images, labels) * 2, strict=False))
    if draws.random() < 0.3:
        arrays["classes"] = np.array(["cat", "dog"])
    if draws.random() < 0.3:
        arrays[names[0]] = np.repeat(images[..., None], 4, axis=3)
        arrays |= {name: np.repeat(images[..., None], 4, axis=3) for name in names[2:3]}
    return {f"{name}.npy": _as_npy(array) for name, array in arrays.items()}


def _npz(draws):
    """Damage the content and pack it again, or the file itself."""
    files = _layout(draws)
    what = ""
    if draws.random() < 0.5:
        target, what = _damaged(files, draws, (*COMMON, *(npy_header,) * 8))
    content = _zipped(files, draws.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    if not what:
        content, what = _changed(content, COMMON, draws)
    target = "set" + (".npz" if draws.random() < 0.9 else draws.choice(ENDINGS))
    return Source({target: content}, target, target, what)


def _npy(draws):
    files = _layout(draws)
    target, what = _damaged(files, draws, (*COMMON, *(npy_header,) * 8))
    return Source(files, target, "", what)


def _table_pictures():
    return {f"{name}/{k}.png": saved(Image.fromarray(smooth(10 * k, 1, 6)), "PNG") for k in range(10) for name in "ab"}


def _parquet(draws):
    """Use images or paths; damage the file itself, or an image, a path or a label in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = _table_pictures()
    names, contents = list(pictures), list(pictures.values())
    labels = [name[0] for name in names]
    what = ""
    within = draws.random() < 0.7
    if draws.random() < 0.4:
        k = draws.randrange(20)
        what = f"row {k} strange"
        labels[k] = draws.choice((None, "", "c", "\n", "x" * 9999, "a"))
        names[k] = draws.choice((None, "", "../x.png", "/etc/passwd", "a/\0", "a\n.png", "nowhere.png", names[k]))
        contents[k] = draws.choice((None, b"", draws.choice(COMMON)(contents[k], draws), draws.randbytes(99)))
    column = [{"bytes": a, "path": b} for a, b in zip(contents, names, strict=True)] if within else names
    file = io.BytesIO()
    table = pa.table({"image": column, "label": labels})
    if draws.random() < 0.2:
        features = {"label": {"names": draws.choice((["a"], [], "ab", [None, 1], {"a": 1}))}}
        text = f'{{"info": {{"features": {features}}}}}'.replace("'", '"')
        table = table.replace_schema_metadata({"huggingface": text})
    pq.write_table(table, file, compression=draws.choice(("none", "snappy", "gzip", "zstd")), row_group_size=7)
    content = file.getvalue()
    if not what or draws.random() < 0.2:
        content, more = _changed(content, COMMON, draws)
        what = f"{what} {more}".strip()
    target = "set" + (".parquet" if draws.random() < 0.9 else draws.choice(ENDINGS))
    return Source(({} if within else pictures) | {target: content}, target, target, what)


def _csv(draws):
    pictures = _table_pictures()
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows(
        [["path", "label", "split"]] + [[name, name[0], "train" if name[2] < "8" else "test"] for name in pictures]
    )
    content, what = _changed(text.getvalue().encode(), (*COMMON, *(csv_cells,) * 8), draws)
    target = "set" + (".csv" if draws.random() < 0.9 else draws.choice(ENDINGS))
    return Source(pictures | {target: content}, target, target, what)
