"""What comes out of an image file, of any kind, and what happens to files that are none."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import modelzero as mz
from modelzero.data.decoding import image as decode_module
from modelzero.data.decoding.image import MOST_PIXELS, decode, read_header


def noise(shape, seed=0, most=256):
    return np.random.default_rng(seed).integers(most, size=shape).astype(np.uint8)


def stored(image, kind="PNG", **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_lossless_formats_give_the_very_pixels(kind, shape):
    """Written by Pillow, read back to the bit; GIF has 256 colours at the most, more than these."""
    pixels = noise(shape, most=256 if kind != "GIF" else 3) * (1 if kind != "GIF" else 100)
    content = stored(Image.fromarray(pixels), kind, **({"lossless": True} if kind == "WEBP" else {}))
    found = decode(content, channels=1 if len(shape) == 2 else 3)
    expected = pixels[None] if len(shape) == 2 else pixels.transpose(2, 0, 1)
    np.testing.assert_array_equal(found, expected)


def test_a_jpeg_is_what_pillow_makes_of_it():
    picture = Image.fromarray(noise((40, 60, 3))).resize((300, 200))
    content = stored(picture, "JPEG")
    np.testing.assert_array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_followed(orientation):
    """As Pillow's own function does it; also where the image is shrunk on the way."""
    picture = Image.fromarray(noise((40, 60, 3)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(picture, "PNG", exif=exif)
    expected = np.asarray(Image.open(io.BytesIO(stored(turned(picture, orientation))))).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(content), expected)
    header = read_header(content)
    assert (header.height, header.width) == expected.shape[1:]
    assert header.turned == (orientation > 1)
    small = decode(stored(picture, "JPEG", exif=exif), size=(16, 16))
    assert small.shape == (3, 16, 16)


def turned(picture, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    return ImageOps.exif_transpose(Image.open(io.BytesIO(stored(picture, "PNG", exif=exif))))


def test_sixteen_bits_are_cut_to_the_upper_eight():
    deep = np.random.default_rng(0).integers(65536, size=(4, 6)).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        content = stored(Image.fromarray(deep), kind)
        assert read_header(content).grey
        np.testing.assert_array_equal(decode(content)[0], deep >> 8)


def test_sixteen_bits_with_a_transparent_grey(tmp_path):
    """What has exactly that value is white; a value that is the same in its upper 8 bits only is not."""
    deep = np.array([[1000, 1001, 65535]], np.uint16)
    content = stored(Image.fromarray(deep), "PNG", transparency=1000)
    assert Image.open(io.BytesIO(content)).info["transparency"] == 1000
    assert decode(content)[0].tolist() == [[255, 1001 >> 8, 255]]


@pytest.mark.parametrize("kind", [np.int32, np.int16])
def test_whole_numbers_of_which_nobody_knows_the_white(refuses, kind):
    """Cut to the upper 8 of 16 bits, values up to 255 would be black."""
    deep = np.random.default_rng(0).integers(256, size=(4, 6)).astype(kind)
    file = io.BytesIO()
    tifffile(file, deep)
    with refuses(mz.DataError, "signed or 32-bit"):
        read_header(file.getvalue())


def tifffile(file, numbers):
    """Write a TIFF of one strip by hand, since Pillow writes no signed ones."""
    height, width = numbers.shape
    bits, pixels = numbers.itemsize * 8, numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    entries += [(279, len(pixels)), (339, 2)]
    file.write(b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(entries)))
    for tag, value in entries:
        file.write(struct.pack("<HHII", tag, 4, 1, value))
    file.write(struct.pack("<I", 0))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_header_says_how_the_image_will_lie(kind, orientation):
    """Also where the decoder turns it by itself."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(Image.fromarray(noise((20, 30))), kind, exif=exif)
    header = read_header(content)
    assert (header.height, header.width) == decode(content).shape[1:]
    assert decode(content).shape[1:] == ((30, 20) if orientation > 4 else (20, 30))
    same = decode(content, size=(header.height, header.width))
    np.testing.assert_array_equal(same, decode(content))


def test_transparency_is_laid_onto_white():
    """By the formula, to one step of rounding; what is fully transparent is white."""
    pixels = noise((6, 6, 4))
    pixels[0] = 0
    found = decode(stored(Image.fromarray(pixels, "RGBA"))).transpose(1, 2, 0).astype(float)
    alpha = pixels[..., 3:] / 255
    assert np.abs(found - (pixels[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1
    assert (found[0] == 255).all()
    grey = decode(stored(Image.fromarray(pixels[..., :2].copy(), "LA")))
    assert grey.shape == (1, 6, 6)


def test_palettes_are_grey_or_coloured_as_their_colours_are():
    grey = Image.fromarray(noise((8, 8))).convert("P")
    assert read_header(stored(grey)).grey
    colour = Image.fromarray(noise((8, 8, 3))).quantize(16)
    header = read_header(stored(colour))
    assert (header.mode, header.grey) == ("P", False)
    np.testing.assert_array_equal(decode(stored(colour)), np.asarray(colour.convert("RGB")).transpose(2, 0, 1))


def test_of_several_frames_the_first():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    content = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(content) == 10).all()


def test_pad_and_crop():
    """A white image twice as wide as high: padded it has black above and below, cropped it has none."""
    content = stored(Image.new("L", (200, 100), 255))
    padded = decode(content, size=(64, 64))[0]
    assert (padded[16:48] == 255).all()
    assert (padded[:15] == 0).all()
    assert (padded[49:] == 0).all()
    assert (decode(content, size=(64, 64), fit="crop") == 255).all()


def test_crop_takes_the_middle():
    """Of an image whose left, middle and right thirds differ, a square shows the middle."""
    pixels = np.repeat(np.array([0, 128, 255], np.uint8), 60)[None].repeat(60, 0)
    cropped = decode(stored(Image.fromarray(pixels)), size=(20, 20), fit="crop")
    assert (cropped[:, :, 1:-1] == 128).all()  # the outermost columns are blurred with what was cut away


def test_shrinking_a_jpeg_early_is_near_to_shrinking_it_late():
    """The decoder's own reduction differs from the slow way by a few steps, nowhere by a row, whatever the shape."""
    for sides in ((800, 600), (333, 717), (90, 1000), (271, 307), (307, 271)):
        picture = Image.fromarray(noise((12, 9, 3), 1)).resize(sides, Image.Resampling.BICUBIC)
        content = stored(picture, "JPEG", quality=95)
        for fit in ("pad", "crop"):
            early = decode(content, size=(64, 64), fit=fit).astype(float)
            late = decode(stored(Image.open(io.BytesIO(content))), size=(64, 64), fit=fit).astype(float)
            assert np.abs(early - late).mean() < 3
            assert np.abs(early - late).max() < 40


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am no image", "unrecognised image format"),
        (b"%PDF-1.4 " + bytes(100), "unrecognised image format"),
        (stored(Image.fromarray(noise((50, 50, 3))), "PNG")[:2000], "damaged"),
        (stored(Image.fromarray(noise((50, 50, 3))), "JPEG")[:900], "damaged"),
        (stored(Image.fromarray(noise((50, 50, 3))), "BMP")[:900], "damaged"),
    ],
)
def test_what_is_no_whole_image_is_refused_with_a_reason(content, reason, refuses):
    with refuses(mz.DataError, reason):
        decode(content)


def test_a_bomb_is_refused_by_its_header(refuses):
    """A few kilobytes that announce a hundred million pixels and more; nothing is decoded."""
    for side in (8_000, 30_000):
        assert side * side > MOST_PIXELS
        content = stored(Image.new("1", (side, side)))
        with refuses(mz.DataError, "pixels"):
            decode(content)


@pytest.mark.parametrize("shape", [(30, 7), (7, 30), (3, 3)])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "I;16", "F"])
def test_large_images_are_brought_to_plain_colours_piece_by_piece(monkeypatch, shape, kind):
    """The same to the bit as in one go; no piece is much larger than it may be."""
    pixels = noise((*shape, 4))
    if kind in ("RGBA", "LA", "P"):
        image = Image.fromarray(pixels).convert(kind)
        content = stored(image, **({"transparency": 3} if kind == "P" else {}))
    else:
        deep = pixels.astype({"I;16": np.uint16, "F": np.float32}[kind])[..., 0]
        content = stored(Image.fromarray(deep / np.float32(255) if kind == "F" else deep * 200), "TIFF")
    whole = decode(content)
    pieces = []
    monkeypatch.setattr(decode_module, "_BAND_PIXELS", 20)
    crop = Image.Image.crop
    monkeypatch.setattr(Image.Image, "crop", lambda *given: pieces.append(crop(*given)) or pieces[-1])
    np.testing.assert_array_equal(decode(content), whole)
    assert all(piece.width * piece.height <= 20 + 7 for piece in pieces)
    assert (len(pieces) > 5) == (shape != (3, 3))


def test_a_webp_has_a_cap_of_its_own(refuses):
    """Two kilobytes that would take a gigabyte to decode."""
    content = stored(Image.new("L", (5000, 5000)), "WEBP", lossless=True, method=0, quality=0)
    assert len(content) < 10_000
    with refuses(mz.DataError, "5000 x 5000", "WebP"):
        read_header(content)


def test_mutated_files_give_pixels_or_a_reason():
    """Two thousand of them, of all formats: nothing but DataError comes out, whatever the bytes are."""
    draw = random.Random(0)
    originals = [
        stored(Image.fromarray(noise((12, 12, 3))), kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
    ]
    originals.append(stored(Image.fromarray(noise((12, 12))).convert("P"), "PNG"))
    refused = 0
    for _ in range(2000):
        content = bytearray(draw.choice(originals))
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        if draw.random() < 0.3:
            content = content[: draw.randrange(len(content))]
        try:
            found = decode(bytes(content), size=(8, 8), channels=3)
        except mz.DataError as error:
            refused += "\n" not in str(error)
        else:
            assert found.shape == (3, 8, 8)
    assert 400 < refused < 2000


def test_decoding_needs_no_torch():
    """The processes that decode start quickly."""
    command = "import sys, modelzero.data.decoding.image, modelzero.io.processes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)
