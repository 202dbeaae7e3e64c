"""Load images that are already in memory: arrays, tensors and torch datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from modelzero.data.assemble import Samples, assemble
from modelzero.data.dataset import ImageData
from modelzero.data.decoding.pixels import as_array, to_numbers, to_pixels
from modelzero.data.options import LoadOptions
from modelzero.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ArrayOptions:
    """The settings of `from_arrays`.

    Args:
        classes: the class names in label order.
        name: the name of the dataset in tables and records.
        groups: [N], the group of each image as a name or number, such as a patient or a video; a drawn test split never
            divides a group. Or one array for the training, test and validation images, in this order.
        test_groups: the same for the test split; without it, test images count as independent.
        validation_images: a split that is used neither to train nor to test.
        validation_labels: likewise.
        validation_groups: likewise.
        channels_last: whether the channels come last, if the shape is ambiguous.
        test_share: the fraction of each class to draw as a test split.
        seed: the seed of that draw and of `share`.
        share: the fraction of each class's training images to use.
    """

    classes: Sequence[str] | None = None
    name: str = "arrays"
    groups: Sequence[Any] | NDArray[Any] | None = None
    test_groups: Sequence[Any] | NDArray[Any] | None = None
    validation_images: Any = None
    validation_labels: Any = None
    validation_groups: Sequence[Any] | NDArray[Any] | None = None
    channels_last: bool | None = None
    test_share: float = LoadOptions.test_share
    seed: int = LoadOptions.seed
    share: float = LoadOptions.share

    @property
    def loading(self) -> LoadOptions:
        """How the images are split."""
        return LoadOptions(test_share=self.test_share, seed=self.seed, share=self.share)


def from_arrays(
    images: Any, labels: Any, test_images: Any = None, test_labels: Any = None, **settings: Any
) -> ImageData:
    """Make `ImageData` from numpy arrays or torch tensors.

    >>> import numpy as np, modelzero as mz
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)
    >>> data = mz.from_arrays(images, ["cat", "dog"] * 25)
    >>> data.classes, data.image_shape, len(data.train), len(data.test)
    (('cat', 'dog'), (1, 28, 28), 40, 10)
    >>> frames_of = [f"video {k // 5}" for k in range(50)]
    >>> data = mz.from_arrays(images, ["cat", "dog"] * 25, groups=frames_of)
    >>> data.train.group_count, data.test.group_count
    (8, 2)

    Args:
        images: [N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels: whole numbers from 0 to 255, fractions
            from 0 to 1 (multiplied by 255 and rounded), or bool (black and white). Alpha is blended onto white.
        labels: [N], whole numbers from 0, or names. Without `classes`, numbers are named "0", "1", ... up to the
            highest, and names are sorted.
        test_images: the same for a test split; without it one is drawn.
        test_labels: likewise.
        **settings: see `ArrayOptions`, such as `classes`, `groups` or `test_share`.

    Raises:
        DataError: unsupported type, shape or range of images or labels, counts that differ, classes in one split
            only, or a group in both.
        SettingError: a fraction or a seed out of range.
    """
    options = ArrayOptions(**settings)
    loading = options.loading
    given = [("train", images, labels)]
    for split, some_images, some_labels in (
        ("test", test_images, test_labels),
        ("validation", options.validation_images, options.validation_labels),
    ):
        if (some_images is None) != (some_labels is None):
            raise DataError(f"{split} images without labels, or labels without images: expected both or neither")
        if some_images is not None:
            given.append((split, some_images, some_labels))

    notes: list[str] = []
    parts = [to_pixels(some_images, options.channels_last, f"{split} images", notes) for split, some_images, _ in given]
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(f"{split} {list(part.shape[1:])}" for (split, _, _), part in zip(given, parts, strict=True))
        raise DataError(f"images of several shapes [C, H, W]: {shapes}; expected one shape for all splits")
    numbers, class_names = to_numbers([(f"{split} labels", each) for split, _, each in given], options.classes)
    for (split, _, _), part, some_numbers in zip(given, parts, numbers, strict=True):
        if len(part) != len(some_numbers):
            raise DataError(
                f"{len(part)} {split} images but {len(some_numbers)} labels: expected one label for each image"
            )
        if len(part) == 0:
            raise DataError(f"zero {split} images: expected at least one in each given split")
    counts = {split: len(part) for (split, _, _), part in zip(given, parts, strict=True)}
    splits = [split for split, count in counts.items() for _ in range(count)]
    members = _groups(
        {"train": options.groups, "test": options.test_groups, "validation": options.validation_groups}, counts, notes
    )
    samples = Samples(
        class_names,
        np.concatenate(numbers),
        splits,
        groups=members,
        grouped_by=None if members is None else "groups",
        strict=True,
    )
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    parts.clear()
    return assemble(options.name, "memory", samples, lambda places: take(whole, places), loading, notes=notes)


def from_torch(dataset: Any, test_dataset: Any = None, *, progress: bool | None = None, **settings: Any) -> ImageData:
    """Make `ImageData` from a map-style torch `Dataset`, reading it once.

    >>> import torch, modelzero as mz
    >>> dataset = torch.utils.data.TensorDataset(torch.rand(20, 1, 8, 8), torch.arange(20) % 2)
    >>> mz.from_torch(dataset).counts()
    [('0', 8, 2), ('1', 8, 2)]

    Args:
        dataset: anything with `len()` and indices from 0 that returns (image, label): a PIL image, an array or a
            tensor as for `from_arrays`, all of one size, and a whole number or a name.
        test_dataset: the same for the test split; without it one is drawn.
        **settings: as for `from_arrays`; by default `classes` is `dataset.classes` if that is a list of names, and
            `name` is the name of its type.
        progress: show a bar; None means only in a terminal.

    Raises:
        DataError: an image that the dataset does not return, sizes that differ, or what `from_arrays` refuses.
    """
    own = getattr(dataset, "classes", None)
    known = isinstance(own, list | tuple) and all(isinstance(each, str) for each in own)
    settings = {name: value for name, value in settings.items() if value is not None}
    options = ArrayOptions(**{"classes": own if known else None, "name": type(dataset).__name__, **settings})
    _ = options.loading  # before the images are read
    images, labels = _all_of(dataset, options.channels_last, progress)
    test = (None, None) if test_dataset is None else _all_of(test_dataset, options.channels_last, progress)
    return from_arrays(images, labels, *test, **{**vars(options), "channels_last": False})


def take(images: torch.Tensor, places: NDArray[np.int64]) -> torch.Tensor:
    """Return the images at some positions; adjacent ones are not copied."""
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return images[int(places[0]) : int(places[-1]) + 1]
    return images[torch.from_numpy(places)]


def _groups(given: Mapping[str, Any], counts: Mapping[str, int], notes: list[str]) -> list[str | None] | None:
    """Return the group of each image, split by split, None where it is unknown; None if no groups were given.

    Args:
        given: the groups of each split; those of `train` may cover all splits at once.
        counts: the number of images of each existing split.
        notes: gets a sentence if only the test images have no groups.
    """
    found = {split: _group_names(groups, split) for split, groups in given.items() if groups is not None}
    if not found:
        return None
    for split in found:
        if split not in counts:
            raise DataError(f"{split} groups without {split} images: expected both or neither")
    if list(found) == ["train"] and len(found["train"]) == sum(counts.values()):
        return [*found["train"]]
    for split, groups in found.items():
        if len(groups) != counts[split]:
            raise DataError(f"{len(groups)} groups for {counts[split]} {split} images: expected one for each")
    if "train" in found and "test" in counts and "test" not in found:
        notes.append(
            "the training images have groups, the test images count as independent; pass test_groups= to group them"
        )
    return [group for split, count in counts.items() for group in found.get(split, [None] * count)]


def _group_names(groups: Any, split: str) -> list[str]:
    """Return the groups of a split as text, so that 3 is the same group as 3.0."""
    names = []
    for place, each in enumerate(groups.tolist() if hasattr(groups, "tolist") else groups):
        if each is None or isinstance(each, list) or str(each) in ("", "nan", "NaT", "<NA>"):
            shown = repr(each)[:40]
            raise DataError(f"{split} groups: expected a name or a number for each image, found {shown} at {place}")
        names.append(str(int(each) if isinstance(each, float) and each.is_integer() else each))
    return names


def _all_of(dataset: Any, channels_last: bool | None, progress: bool | None) -> tuple[NDArray[np.uint8], list[Any]]:
    """Read a dataset once; return its images as uint8 [N, C, H, W] and its labels."""
    kind = type(dataset).__name__
    try:
        n = len(dataset)
    except TypeError:
        raise DataError(f"{kind} has no length: expected a dataset with len() and indices from 0") from None
    if n == 0:
        raise DataError(f"{kind} is empty: expected at least one image")
    images: NDArray[np.uint8] | None = None
    labels = []
    for place in tqdm(range(n), desc=kind, unit="image", disable=None if progress is None else not progress):
        try:
            sample, label = dataset[place]
        except Exception as error:  # the dataset is not our code
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise DataError(f"{kind} does not return (image, label) for index {place} ({why})") from None
        array = _one_image(sample, f"{kind}[{place}]")
        pixels = to_pixels(array[None], channels_last if array.ndim == 3 else None, f"{kind}[{place}]", [])[0].numpy()
        if images is None:
            images = np.empty((n, *pixels.shape), np.uint8)
        if pixels.shape != images.shape[1:]:
            raise DataError(
                f"{kind}[{place}] is {list(pixels.shape)}, earlier images are {list(images.shape[1:])} [C, H, W]: "
                "expected one size; add a Resize to the dataset's transform"
            )
        images[place] = pixels
        labels.append(label.item() if hasattr(label, "item") and getattr(label, "ndim", 0) == 0 else label)
    assert images is not None
    return images, labels


def _one_image(sample: Any, what: str) -> NDArray[Any]:
    from PIL import Image

    if not isinstance(sample, Image.Image):
        return as_array(sample, what)
    if sample.mode == "1":
        return np.asarray(sample.convert("L"))
    if sample.mode.startswith(("I", "F")):
        raise DataError(f"{what} is an image of mode {sample.mode}: expected 8 bits; convert it to L or RGB")
    if sample.mode in ("LA", "PA", "La", "RGBa") or "transparency" in sample.info:
        sample = sample.convert("RGBA")
    return np.asarray(sample if sample.mode in ("L", "RGB", "RGBA") else sample.convert("RGB"))
