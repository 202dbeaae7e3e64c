"""One picture: from the bytes of a file to uint8 numbers, or a reason why not.

Nothing here imports torch: the processes that decode start quickly.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (  # importing a plugin makes its format known
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

# Told apart by content. The MPO files of many telephones begin as JPEG and are opened as such.
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
# Its library and Pillow together hold up to 20 bytes for each pixel of a WebP, where other formats make do with 8.
MOST_PIXELS_OF_WEBP = 24_500_000
# Wider numbers and blended colours are made of so many pixels at once: of 50 million they would take a gigabyte.
_BAND_PIXELS = 1_000_000
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", "F", *_DEEP)
_ORIENTATION = 0x0112
# How the EXIF orientations from 2 to 8 are undone.
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are decoded.

    Args:
        height: in pixels, as it is to be looked at: after the EXIF orientation.
        width: likewise.
        grey: whether all its colours are greys, as far as its mode or palette says.
        mode: Pillow's name for the kind of its pixels.
        alpha: whether it has transparency.
        turned: whether the EXIF orientation turns or mirrors it.
    """

    height: int
    width: int
    grey: bool
    mode: str
    alpha: bool
    turned: bool


def read_header(content: bytes) -> Header:
    """Read size and mode of a picture.

        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO(); Image.new("L", (3, 2)).save(file, "PNG")
        >>> read_header(file.getvalue())
        Header(height=2, width=3, grey=True, mode='L', alpha=False, turned=False)

    Raises:
        DataError: no picture of a known format, one that is too large, or a damaged one; the message is the reason.
    """
    with _opened(content) as image:
        return _header(image)


def decode(
    content: bytes, *, channels: int | None = None, size: tuple[int, int] | None = None, fit: str = "pad"
) -> NDArray[np.uint8]:
    """Decode a picture; of several frames the first.

    16 bits are cut to the upper 8, transparency is laid onto white, the EXIF orientation is followed. A picture that
    has the size already is left as it is, to the bit.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO(); Image.new("L", (4, 2), 200).save(file, "PNG")
    >>> decode(file.getvalue(), size=(4, 4))[0].tolist()
    [[0, 0, 0, 0], [200, 200, 200, 200], [200, 200, 200, 200], [0, 0, 0, 0]]

    Args:
        content: of the file.
        channels: 1 or 3; None takes 1 for grey pictures and 3 for others.
        size: height and width in pixels to bring it to; None leaves them.
        fit: `pad` fits the longer side and fills up with black, `crop` fits the shorter one and cuts to the middle.

    Returns:
        uint8 [C, H, W].

    Raises:
        DataError: as `read_header`, or pixels that cannot be read, all of them.
    """
    with _opened(content) as image:
        header = _header(image)
        if size is not None and (header.height, header.width) != size:
            _draft(image, header, size)
        image.load()
        picture = _upright(image)
        picture = _plain(picture, header.alpha)
        mode = "L" if (channels or (1 if header.grey else 3)) == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)  # which copies even where it changes nothing
        if size is not None and (picture.height, picture.width) != size:
            picture = _fitted(picture, size, fit)
        array = np.asarray(picture, np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """Open a picture; whatever Pillow raises while it is open becomes a reason."""
    if not content:
        raise DataError("the file is empty")
    if len(content) > MOST_BYTES:
        raise DataError(f"{len(content):,} bytes: at most {MOST_BYTES:,} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_pixels(image)
                yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("no picture, or of an unknown format: PNG, JPEG, WebP, BMP, GIF and TIFF are read") from None
    except Image.DecompressionBombError:
        raise DataError(f"far more pixels than the {MOST_PIXELS:,} that are decoded") from None
    except MemoryError:
        raise DataError("it takes more memory than a picture is given") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, EOFError and others
        words = " ".join(str(error).split())[:120]
        raise DataError(f"damaged: {words or type(error).__name__}") from None


def _check_pixels(image: Image.Image) -> None:
    most, of = (MOST_PIXELS_OF_WEBP, " of a WebP") if image.format == "WEBP" else (MOST_PIXELS, "")
    if image.width * image.height > most:
        raise DataError(f"{image.width} x {image.height} pixels: at most {most:,} are decoded{of}")


def _header(image: Image.Image) -> Header:
    orientation = _orientation(image)
    sides = image.size if orientation >= 5 else image.size[::-1]
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return Header(*sides, _is_grey(image), image.mode, alpha, orientation > 1)


def _orientation(image: Image.Image) -> int:
    try:
        number = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        return 1
    return number if number in _UNDO else 1


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Cut a large picture across its longer side into boxes of `_BAND_PIXELS` or somewhat more."""
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


def _draft(image: Image.Image, header: Header, size: tuple[int, int]) -> None:
    """Let a JPEG decoder leave out what shrinking would throw away: never below twice the size that is needed."""
    height, width = size
    if image.format not in ("JPEG", "MPO"):
        return
    larger = max(height / header.height, width / header.width)  # what `crop` needs, and `pad` no more
    sides = (int(header.width * larger * 2 + 1), int(header.height * larger * 2 + 1))
    turned_aside = (header.height, header.width) != image.size[::-1]
    image.draft(None, sides[::-1] if turned_aside else sides)


def _upright(image: Image.Image) -> Image.Image:
    undo = _UNDO.get(_orientation(image))
    return image if undo is None else image.transpose(undo)


def _plain(image: Image.Image, alpha: bool) -> Image.Image:
    """Bring deep pixels to 8 bits, and transparent ones onto white."""
    if image.width * image.height > 2 * _BAND_PIXELS and (alpha or image.mode in ("F", *_DEEP)):
        whole = None
        for box in _bands(image.size):
            band = _plain(image.crop(box), alpha)
            whole = whole or Image.new(band.mode, image.size)
            whole.paste(band, box)
        assert whole is not None
        return whole
    if image.mode in _DEEP:
        numbers = np.asarray(image).astype(np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= 0xFFFF:
            raise DataError(f"pixels from {numbers.min()} to {numbers.max()}: 0 to 65535 are read")
        return Image.fromarray((numbers >> 8).astype(np.uint8))
    if image.mode == "F":
        numbers = np.asarray(image)
        if not (numbers.size and 0 <= numbers.min() <= numbers.max() <= 1):
            raise DataError("pixels that are fractions outside 0 to 1: scale them, or store 8 or 16 bits")
        return Image.fromarray(np.rint(numbers * 255).astype(np.uint8))
    if alpha:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def _fitted(picture: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    height, width = size
    bilinear = Image.Resampling.BILINEAR  # Pillow's looks at all pixels when it shrinks
    if fit == "crop":
        scale = max(width / picture.width, height / picture.height)
        inner = max(1, round(width / scale)), max(1, round(height / scale))
        left, top = (picture.width - inner[0]) // 2, (picture.height - inner[1]) // 2
        middle = picture.crop((left, top, left + inner[0], top + inner[1]))
        return middle.resize((width, height), bilinear, reducing_gap=2.0)
    scale = min(width / picture.width, height / picture.height)
    sides = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = picture if sides == picture.size else picture.resize(sides, bilinear, reducing_gap=2.0)
    padded = Image.new(picture.mode, (width, height))
    padded.paste(small, ((width - sides[0]) // 2, (height - sides[1]) // 2))
    return padded
