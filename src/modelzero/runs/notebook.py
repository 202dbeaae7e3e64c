"""Show a run in a notebook."""

from __future__ import annotations

import html
import math
from pathlib import Path

from modelzero.runs.record import RunRecord
from modelzero.text import percent, plain, seconds

_MOST_EPOCHS = 12


def run_html(record: RunRecord, path: Path) -> str:
    """Return a run as HTML, with the figures of its last epochs.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "softmax", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> run_html(run.record, run.path)[:24]
    '<p><b>softmax</b> on dig'
    """
    said = (
        f"<p><b>{_text(record.model)}</b> on {_text(record.data.name)}, seed {record.seed}: "
        f"{_text(record.status)}, {len(record.history):,} of {record.epochs:,} epochs, recorded in "
        f"<code>{_text(str(path), 200)}</code></p>"
    )
    left_out = max(0, len(record.history) - _MOST_EPOCHS)
    rows = [
        [
            str(epoch.epoch),
            "" if math.isnan(epoch.train_loss) else f"{epoch.train_loss:.4f}",
            f"{epoch.test_loss:.4f}",
            percent(epoch.test_accuracy),
            seconds(epoch.train_seconds),
            seconds(epoch.test_seconds),
        ]
        for epoch in record.history[left_out:]
    ]
    if not rows:
        return said
    headings = ("epoch", "train loss", "test loss", "test accuracy", "train s", "test s")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    more = f"<p>... the first {left_out:,} epochs are in run.history</p>" if left_out else ""
    return f"{said}{more}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str, most: int = 60) -> str:
    return html.escape(plain(text, most))
