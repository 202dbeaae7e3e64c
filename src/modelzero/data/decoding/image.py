"""Decode the bytes of an image file to uint8 pixels, or give the reason why not.

Nothing here imports torch, so that decoding processes start quickly.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (  # importing a plugin registers its format
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from modelzero.errors import DataError
from modelzero.text import reason

# Detected from the content. MPO files, which many phones write, begin as JPEG and are opened as such.
_PLUGINS = (
    PngImagePlugin.PngImageFile,
    JpegImagePlugin.JpegImageFile,
    WebPImagePlugin.WebPImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    TiffImagePlugin.TiffImageFile,
)
FORMATS = tuple(str(plugin.format) for plugin in _PLUGINS)
MOST_PIXELS, MOST_BYTES = 50_000_000, 256 << 20
# For WebP, its library and Pillow together hold up to 20 bytes per pixel; for other formats it is 8.
MOST_PIXELS_OF_WEBP = 24_500_000
# Pixels that are widened or blended at once: for 50 million that would take a gigabyte.
_BAND_PIXELS = 1_000_000
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", "F", *_DEEP)
_ORIENTATION = 0x0112
# How to undo the EXIF orientations 2 to 8.
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ASIDE = (
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What the header of an image says, before its pixels are decoded.

    Args:
        height: in pixels, after applying the EXIF orientation.
        width: likewise.
        grey: whether all its colours are grey, judging by mode or palette.
        mode: Pillow's name for the kind of its pixels.
        alpha: whether it has transparency.
        turned: whether the EXIF orientation rotates or mirrors it.
    """

    height: int
    width: int
    grey: bool
    mode: str
    alpha: bool
    turned: bool


def read_header(content: bytes) -> Header:
    """Read size and mode of an image.

        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO(); Image.new("L", (3, 2)).save(file, "PNG")
        >>> read_header(file.getvalue())
        Header(height=2, width=3, grey=True, mode='L', alpha=False, turned=False)

    Raises:
        DataError: an unrecognised format, an image that is too large, or a damaged one; the message is the reason.
    """
    with _opened(content) as image:
        return _header(image)


def decode(
    content: bytes, *, channels: int | None = None, size: tuple[int, int] | None = None, fit: str = "pad"
) -> NDArray[np.uint8]:
    """Decode an image, or the first of several frames.

    16-bit pixels are reduced to the upper 8 bits, transparency is blended onto white, and the EXIF orientation is
    applied. An image that already has the size keeps its exact pixels.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO(); Image.new("L", (4, 2), 200).save(file, "PNG")
    >>> decode(file.getvalue(), size=(4, 4))[0].tolist()
    [[0, 0, 0, 0], [200, 200, 200, 200], [200, 200, 200, 200], [0, 0, 0, 0]]

    Args:
        content: the bytes of the file.
        channels: 1 or 3; None takes 1 for grey images and 3 for others.
        size: height and width in pixels to resize it to; None keeps its size.
        fit: `pad` fits the longer side and pads with black, `crop` fits the shorter side and crops to the middle.

    Returns:
        uint8 [C, H, W].

    Raises:
        DataError: as for `read_header`, or some pixels cannot be read.
    """
    with _opened(content) as image:
        header = _header(image)
        if size == (header.height, header.width):
            size = None
        extent = image.size if size is None else _draft(image, header, size)
        image.load()
        undo = _UNDO.get(_orientation(image))
        mode = "L" if (channels or (1 if header.grey else 3)) == 1 else "RGB"
        pixels = _plain(image, header.alpha, mode)
        if pixels is not image:
            image.close()  # frees its pixels, up to 200 MB
        if size is not None:
            aside = undo in _ASIDE
            pixels = _fitted(pixels, extent, size[::-1] if aside else size, fit)
        if undo is not None:
            pixels = pixels.transpose(undo)
        if size is not None and (pixels.height, pixels.width) != size:
            pixels = _padded(pixels, size)
        return _as_array(pixels)


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """Open an image; turn whatever Pillow raises while it is open into a reason."""
    if not content:
        raise DataError("the file is empty")
    if len(content) > MOST_BYTES:
        raise DataError(f"more than {MOST_BYTES:,} bytes, the maximum for an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_pixels(image)
                yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("unrecognised image format: expected PNG, JPEG, WebP, BMP, GIF or TIFF") from None
    except Image.DecompressionBombError:
        raise DataError(f"too many pixels: expected at most {MOST_PIXELS:,}") from None
    except MemoryError:
        raise DataError("decoding takes more memory than allowed for an image") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, EOFError and others
        raise DataError(f"damaged: {reason(error)}") from None


def _check_pixels(image: Image.Image) -> None:
    if image.mode == "I" and image.format == "TIFF":  # which number is white is unknown
        raise DataError("signed or 32-bit integers: expected unsigned integers of 8 or 16 bits")
    most, of = (MOST_PIXELS_OF_WEBP, " in a WebP") if image.format == "WEBP" else (MOST_PIXELS, "")
    if image.width * image.height > most:
        raise DataError(f"{image.width} x {image.height} pixels: expected at most {most:,}{of}")


def _header(image: Image.Image) -> Header:
    orientation = _orientation(image)
    # Pillow has already applied the orientation to the size of a TIFF, and will apply it to the pixels.
    sides = image.size if orientation >= 5 and image.format != "TIFF" else image.size[::-1]
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return Header(*sides, _is_grey(image), image.mode, alpha, orientation > 1)


def _orientation(image: Image.Image) -> int:
    try:
        number = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to reject the image
        return 1
    return number if number in _UNDO else 1


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Divide the longer side of a large image into boxes of about `_BAND_PIXELS`."""
    width, height = size
    step = -(-_BAND_PIXELS // min(size))
    for start in range(0, max(size), step):
        end = min(start + step, max(size))
        yield (0, start, width, end) if height >= width else (start, 0, end, height)


def _is_grey(image: Image.Image) -> bool:
    if image.mode in _GREY:
        return True
    palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
    return palette is not None and palette[0::3] == palette[1::3] == palette[2::3]


def _draft(image: Image.Image, header: Header, size: tuple[int, int]) -> tuple[float, float]:
    """Let a JPEG decoder skip detail that shrinking would discard, but never decode below the target size.

    Returns:
        Width and height of the image as it will be decoded, not rounded: the last pixel may be a partial one.
    """
    if image.format not in ("JPEG", "MPO"):
        return image.size
    needed = max(size[0] / header.height, size[1] / header.width)  # the scale for `crop`; `pad` never requires more
    made = image.draft(None, (int(image.width * needed + 1), int(image.height * needed + 1)))
    return image.size if made is None else made[1][2:]


def _plain(image: Image.Image, alpha: bool, mode: str) -> Image.Image:
    """Reduce deep pixels to 8 bits, blend transparent ones onto white, and convert all to a mode."""
    if image.mode == mode and not alpha:
        return image
    if image.width * image.height > 2 * _BAND_PIXELS:
        whole = Image.new(mode, image.size)
        for box in _bands(image.size):
            whole.paste(_plain(image.crop(box), alpha, mode), box)
        return whole
    if image.mode in _DEEP:
        numbers = np.asarray(image).astype(np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= 0xFFFF:
            raise DataError(f"pixels from {numbers.min()} to {numbers.max()}: expected 0 to 65535")
        grey = (numbers >> 8).astype(np.uint8)
        clear = image.info.get("transparency") if alpha else None
        if isinstance(clear, int):
            grey[numbers == clear] = 255
        return Image.fromarray(grey).convert(mode)
    if image.mode == "F":
        numbers = np.asarray(image)
        if not (numbers.size and 0 <= numbers.min() <= numbers.max() <= 1):
            raise DataError("floating-point pixels outside 0 to 1: scale them, or store 8 or 16 bits")
        return Image.fromarray(np.rint(numbers * 255).astype(np.uint8)).convert(mode)
    if alpha:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB").convert(mode)
    return image.convert(mode)


def _as_array(pixels: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels, uint8 [C, H, W]; convert a large image in bands, because Pillow copies pixels twice."""
    if pixels.width * pixels.height <= _BAND_PIXELS:
        small = np.asarray(pixels, np.uint8)
        return small[None] if small.ndim == 2 else np.ascontiguousarray(small.transpose(2, 0, 1))
    array = np.empty((len(pixels.getbands()), pixels.height, pixels.width), np.uint8)
    for left, top, right, bottom in _bands(pixels.size):
        band = np.asarray(pixels.crop((left, top, right, bottom)))
        array[:, top:bottom, left:right] = band if band.ndim == 2 else band.transpose(2, 0, 1)
    return array


def _fitted(pixels: Image.Image, extent: tuple[float, float], size: tuple[int, int], fit: str) -> Image.Image:
    """Resize an image to fit a size: both sides for `crop`, at least one side for `pad`.

    Args:
        pixels: the image to shrink or enlarge.
        extent: the width and height of the part that holds the image.
        size: height and width.
        fit: `pad` or `crop`.
    """
    height, width = size
    left = top = 0.0
    right, bottom = extent
    if fit == "crop":
        scale = max(width / right, height / bottom)
        left, top = (right - width / scale) / 2, (bottom - height / scale) / 2
        right, bottom = right - left, bottom - top
        sides = width, height
    else:
        scale = min(width / right, height / bottom)
        sides = min(width, max(1, round(right * scale))), min(height, max(1, round(bottom * scale)))
    box = (max(0.0, left), max(0.0, top), min(right, pixels.width), min(bottom, pixels.height))
    # Pillow's bilinear filter uses all pixels when it shrinks.
    return pixels.resize(sides, Image.Resampling.BILINEAR, box, reducing_gap=2.0)


def _padded(pixels: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Centre an image on a black one of the given size."""
    height, width = size
    padded = Image.new(pixels.mode, (width, height))
    padded.paste(pixels, ((width - pixels.width) // 2, (height - pixels.height) // 2))
    return padded
