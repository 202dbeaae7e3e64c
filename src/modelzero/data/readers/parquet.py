"""Read Parquet tables of images: paths as in CSV, or the images themselves, as on the Hugging Face Hub."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelzero.data.readers.archive import MOST_BYTES, MOST_MEMBER_BYTES
from modelzero.data.readers.columns import Inside, choose_columns, split_of
from modelzero.data.readers.folder import MOST_FILES, SPLIT_NAMES, natural
from modelzero.data.readers.listing import Item, Listing
from modelzero.data.splits import class_order
from modelzero.errors import DataError, quoted, some
from modelzero.text import reason

_ROWS = 1024  # read at once


def read_parquet(path: Path, *, group: str | None = None) -> Listing:
    """List the images of one Parquet file.

    Images are paths, or bytes in a binary column, or in a struct {"bytes", "path"}. Labels are names or numbers;
    numbers get the names of a `ClassLabel` if the file's metadata has one.

    Args:
        path: the file.
        group: the column of what must stay on one side of a split.

    Raises:
        DataError: pyarrow is missing, a damaged file, a missing column, or an invalid row.
    """
    return _read([(path, None)], path, path.stem, group)


def read_shards(folder: Path, *, group: str | None = None) -> Listing:
    """List the images of a folder of Parquet files, such as train-00000-of-00002.parquet and test-....parquet.

    Raises:
        DataError: only some file names give a split, or as for `read_parquet`.
    """
    files = find_shards(folder)
    splits = [_split_of_shard(each) for each in files]
    if any(splits) and not all(splits):
        lost = [each.name for each, split in zip(files, splits, strict=True) if split is None]
        raise DataError(
            f"{folder} has Parquet files named train, test or validation, and others: rename or move {some(lost)}"
        )
    return _read(list(zip(files, splits, strict=True)), folder, folder.resolve().name, group)


def find_shards(folder: Path) -> list[Path]:
    """Return the sorted Parquet files of a folder, or of its subfolder `data`."""
    for place in (folder, folder / "data"):
        if files := sorted(place.glob("*.parquet"), key=lambda each: natural(each.name)):
            return [each for each in files if each.is_file() and not each.name.startswith(".")]
    return []


def names_files(path: Path) -> bool:
    """Return whether a Parquet file contains no images, so that it may name files beside it."""
    try:
        import pyarrow.parquet as pq

        return not any(_holds_images(field.type) for field in pq.read_schema(path))
    except Exception:  # damaged, or pyarrow is missing
        return False


def _split_of_shard(path: Path) -> str | None:
    found = re.match(r"[A-Za-z]+", path.name)
    return SPLIT_NAMES.get(found[0].casefold()) if found else None


def _read(files: Sequence[tuple[Path, str | None]], source: Path, name: str, group: str | None) -> Listing:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"{source} is Parquet, which requires pyarrow: install it with pip install 'modelzero[parquet]'"
        )
    items: list[Item] = []
    notes: dict[str, None] = {}
    classes: tuple[str, ...] | None = None
    total = 0
    for path, split in files:
        try:
            for item, note, class_names in _items(path, split, group):
                items.append(item)
                notes[note] = None
                classes = classes or class_names
                total += len(item.content) if isinstance(item.content, bytes) else 0
                _check_total(total, len(items), source)
        except DataError:
            raise
        except Exception as error:  # pyarrow raises many kinds of errors on a damaged file, some of them built in
            raise DataError(
                f"{path} is damaged or not a Parquet file ({reason(error)}): expected a complete one"
            ) from None
    if not items:
        raise DataError(f"{source} has no rows: expected one for each image")
    found = class_order(item.label for item in items)
    if classes is None or not set(found) <= set(classes):
        classes = found
    return Listing(name, str(source), tuple(items), classes, tuple(notes))


def _check_total(total: int, count: int, source: Path) -> None:
    if total > MOST_BYTES or count > MOST_FILES:
        raise DataError(
            f"{source} has more than {MOST_BYTES >> 30} GiB or {MOST_FILES:,} rows of images: use fewer or smaller ones"
        )


def _items(
    path: Path, shard_split: str | None, group: str | None
) -> Iterator[tuple[Item, str, tuple[str, ...] | None]]:
    """Yield each row of one file as an item, with the note and the class names of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        held = file.metadata
        for place in range(held.num_row_groups):
            if held.row_group(place).total_byte_size > MOST_BYTES:
                raise DataError(f"{path} declares more than {MOST_BYTES >> 30} GiB in a row group: use smaller ones")
        of_images = [k for k, field in enumerate(schema) if _holds_images(field.type)]
        columns, note = choose_columns(schema.names, path, group=group, of_images=of_images or None)
        names = [schema.names[k] for k in (columns.image, columns.label, columns.split, columns.group) if k is not None]
        class_names = _class_names(schema, schema.names[columns.label])
        kind = schema.field(columns.image).type
        note += f"; images are {'paths' if not of_images else 'bytes within the file'} ({str(kind)[:60]})"
        if class_names:
            note += f", labels have the {len(class_names)} names in the file's metadata"
        if not of_images and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise DataError(f"{path}: images of type {kind}: expected paths, bytes, or a struct of bytes and path")
        inside = Inside(path.parent)
        row = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=names, use_threads=False):
            for cells in batch.to_pylist():
                row += 1
                where = f"{path}, row {row}"
                values = [
                    None if k is None else cells[schema.names[k]] for k in (columns.label, columns.split, columns.group)
                ]
                label = _label(values[0], class_names, where)
                split = shard_split if columns.split is None else split_of(values[1], where)
                if columns.group is not None and values[2] in (None, ""):
                    raise DataError(f"{where}: no group: expected one in each row")
                of = None if columns.group is None else str(values[2])
                name, content = _image(cells[schema.names[columns.image]], inside, f"{path.stem}[{row}]", where)
                yield Item(name, label, split, of, content), note, class_names


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in [kind.field(k).name for k in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _image(value: Any, inside: Inside, row_name: str, where: str) -> tuple[str, str | bytes]:
    """Return the name of an image, and its bytes or its file."""
    named = None
    if isinstance(value, dict):
        named = value.get("path")
        value = value.get("bytes") or named
    if isinstance(value, str) and value.strip():
        return inside.find(value, where)
    if not isinstance(value, bytes) or not value:
        raise DataError(f"{where}: no image: expected its bytes or its path")
    if len(value) > MOST_MEMBER_BYTES:
        raise DataError(f"{where}: an image of {len(value):,} bytes: expected at most {MOST_MEMBER_BYTES:,}")
    return f"{row_name} {named}" if isinstance(named, str) and named else row_name, value


def _label(value: Any, class_names: tuple[str, ...] | None, where: str) -> str:
    if isinstance(value, int) and class_names is not None:
        if not 0 <= value < len(class_names):
            raise DataError(
                f"{where}: label {value}: expected a number from 0 to {len(class_names) - 1}, one of the named classes"
            )
        return class_names[value]
    if isinstance(value, str | int) and str(value).strip():
        return str(value).strip()
    what = "no label" if value in (None, "") else f"label {quoted(str(value))} of type {type(value).__name__}"
    raise DataError(f"{where}: {what}: expected a name or a whole number in each row")


def _class_names(schema: Any, column: str) -> tuple[str, ...] | None:
    """Return the names of a ClassLabel column that Hugging Face libraries wrote into the metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        return None
    return tuple(map(str, names))
