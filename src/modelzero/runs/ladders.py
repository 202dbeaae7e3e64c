"""Read the records of ladders from their folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelzero.errors import RunError
from modelzero.runs.record import FORMAT, LADDER_RECORD, RECORD, LadderRecord
from modelzero.runs.seal import unsealed


def read_ladder_record(path: Path) -> LadderRecord:
    """Read the record of a ladder, without its runs; if its process has died, its status is `interrupted`.

    Raises:
        RunError: there is no ladder, or it is damaged.
    """
    try:
        stored = unsealed((path / LADDER_RECORD).read_bytes().decode())
        if stored["format"] > FORMAT:
            raise RunError(f"{path} was written by a newer modelzero (format {stored['format']}): update modelzero")
        record = LadderRecord.from_dict(stored)
    except OSError as error:
        if (path / RECORD).is_file():
            raise RunError(f"{path} is one run, not a ladder: expected the folder of a ladder") from None
        raise RunError(f"{path} holds no ladder ({error.strerror}): expected the folder of a ladder") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path / LADDER_RECORD} is damaged: expected a complete record; climb again") from None
    if record.status == "running" and record.process is not None and record.process.is_alive() is False:
        return replace(record, status="interrupted")
    return record


def read_ladder_records(runs_dir: str | Path) -> tuple[dict[str, LadderRecord], list[str]]:
    """Read the records of all ladders in a folder by id, oldest first; also return a message per unreadable one."""
    records: dict[str, LadderRecord] = {}
    trouble: list[str] = []
    try:
        paths = sorted(Path(runs_dir).glob(f"*/{LADDER_RECORD}"))
    except (OSError, ValueError):  # such as a name that is too long: writing there reports the error
        return records, trouble
    for path in paths:
        if not path.parent.name.startswith("."):
            try:
                records[path.parent.name] = read_ladder_record(path.parent)
            except RunError as error:
                trouble.append(str(error))
    return records, trouble
