"""How a run shows itself in a notebook."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from modelzero.results.words import percent, seconds
from modelzero.text import plain

if TYPE_CHECKING:
    from modelzero.runs.record import Run

_MOST_EPOCHS = 12


def run_html(run: Run) -> str:
    """Show what a run is and the figures of its epochs; of many the last ones.

    >>> import tempfile, modelzero as mz
    >>> run = mz.train("digits", "softmax", epochs=1, runs_dir=tempfile.mkdtemp())
    >>> run_html(run)[:24]
    '<p><b>softmax</b> on dig'
    """
    said = (
        f"<p><b>{_text(run.record['model'])}</b> on {_text(run.record['data']['name'])}, seed {run.seed}: "
        f"{_text(run.status)}, {len(run.history):,} of {run.record['epochs']:,} epochs, recorded in "
        f"<code>{_text(str(run.path), 200)}</code></p>"
    )
    left_out = max(0, len(run.history) - _MOST_EPOCHS)
    rows = [
        [
            str(epoch.epoch),
            "" if math.isnan(epoch.train_loss) else f"{epoch.train_loss:.4f}",
            f"{epoch.test_loss:.4f}",
            percent(epoch.test_accuracy),
            seconds(epoch.train_seconds),
            seconds(epoch.test_seconds),
        ]
        for epoch in run.history[left_out:]
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
