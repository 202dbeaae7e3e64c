"""Read CSV tables of images: a header, a column of paths, a column of labels, optionally splits and groups."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from modelzero.data.readers.columns import PATHS, Inside, choose_columns, split_of
from modelzero.data.readers.folder import MOST_FILES
from modelzero.data.readers.listing import Item, Listing
from modelzero.data.splits import class_order
from modelzero.errors import DataError, quoted

MOST_BYTES = 1 << 30
_DELIMITERS = ",;\t"


def read_csv(path: Path, *, group: str | None = None) -> Listing:
    """List the images that a CSV table names.

    Args:
        path: the table, in UTF-8, separated by commas, semicolons or tabs (detected from the header).
        group: the column of what must stay on one side of a split; ignored if there is no such column.

    Raises:
        DataError: not a table, a missing column, an invalid row (the message gives its line), or a path outside the
            table's folder.
    """
    text = _text(path)
    delimiter = _delimiter(text, path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    inside = Inside(path.parent)
    items: list[Item] = []
    try:
        header = next((row for row in rows if row), None)
        if header is None:
            raise DataError(f"{path} is empty: expected a header and a row for each image")
        columns, note = choose_columns(header, path, group=group)
        for row in rows:
            if not row:
                continue
            where = f"{path}, line {rows.line_num}"
            if len(row) != len(header):
                raise DataError(f"{where}: {len(row)} columns: expected {len(header)}, as in the header")
            name, label = row[columns.image].strip(), row[columns.label].strip()
            if not name:
                raise DataError(f"{where}: no path: expected the path of an image")
            if not label:
                raise DataError(f"{where}: {quoted(name)} has no label: expected one in each row")
            plain, file = inside.find(name, where)
            split = None if columns.split is None else split_of(row[columns.split], where)
            of = None if columns.group is None else row[columns.group].strip()
            if of == "":
                raise DataError(f"{where}: {quoted(name)} has no group: expected one in each row")
            items.append(Item(plain, label, split, of, file))
            if len(items) > MOST_FILES:
                raise DataError(f"{path} has more than {MOST_FILES:,} rows: use a smaller table")
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}: expected a CSV table; check its quotes") from None
    if not items:
        raise DataError(f"{path} has a header but no rows: expected one for each image")
    classes = class_order(item.label for item in items)
    return Listing(path.stem, str(path), tuple(items), classes, (note,))


def looks_like_csv(path: Path) -> bool:
    """Return whether the first line of a file has a delimiter and the name of a path column."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    line = start.decode("utf-8-sig", "replace").partition("\n")[0]
    cells = line.replace(";", ",").replace("\t", ",").split(",")
    return len(cells) > 1 and any(cell.strip().strip('"').casefold() in PATHS for cell in cells)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} has more than {MOST_BYTES:,} bytes: expected a table of paths, not of pixels")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): save the table as UTF-8") from None
    if "\0" in text:
        raise DataError(f"{path} has null bytes: expected a table in UTF-8; save it as CSV")
    return text


def _delimiter(text: str, path: Path) -> str:
    """Choose the delimiter that splits the header into the most columns."""
    # Not splitlines(), which also splits at characters that csv treats as text. Blank lines may precede the header.
    header = text.lstrip("\r\n").replace("\r", "\n").partition("\n")[0]
    try:
        counts = {each: len(next(csv.reader([header], delimiter=each), [])) for each in _DELIMITERS}
    except csv.Error as error:
        raise DataError(f"{path}, line 1: {error}: expected a header of column names") from None
    best = max(_DELIMITERS, key=lambda each: counts[each])
    if header.strip() and counts[best] < 2:
        raise DataError(
            f"{path} has one column, {quoted(header)}: expected at least two, paths and labels, separated by "
            "commas, semicolons or tabs"
        )
    return best
