"""The report of a ladder: how long it takes, how large it is, and how it looks in a browser.

    python benchmarks/report.py LADDER [--screenshots DIR] [--picture docs/report.png]

Without LADDER it climbs Fashion-MNIST first. With --screenshots it opens the page in headless Chromium at 400, 1,000
and 1,600 pixels, light and dark, with JavaScript and without, and fails on any console message, network request or
horizontal scroll bar. This requires Debian's chromium and nodejs, and `npm install playwright-core` in the folder given
with --playwright. --picture writes the image for the README.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTHS, MOST_BYTES, MOST_SECONDS = (400, 1000, 1600), 3_000_000, 5.0


def main() -> int:
    """Measure, take screenshots, and print every broken promise."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("ladder", nargs="?", type=Path)
    options.add_argument("--screenshots", type=Path)
    options.add_argument("--picture", type=Path)
    options.add_argument("--playwright", type=Path, default=Path("node_modules/.."))
    options.add_argument("--chromium", default=shutil.which("chromium"))
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ladder = given.ladder or climbed(Path(folder))
        page = Path(folder) / "report.html"
        wrong = measured(ladder, page, given.repeats)
        if given.screenshots or given.picture:
            shots = given.screenshots or Path(folder) / "shots"
            shots.mkdir(parents=True, exist_ok=True)
            wrong += looked_at(page, shots, given.playwright, given.chromium)
            if given.picture:
                framed(shots, given.picture)
    for line in wrong:
        print(f"BROKEN PROMISE: {line}")
    return 1 if wrong else 0


def climbed(folder: Path) -> Path:
    """Climb the whole ladder on Fashion-MNIST."""
    command = [
        sys.executable,
        "-m",
        "modelzero",
        "climb",
        "fashion-mnist",
        "--runs-dir",
        str(folder / "runs"),
        "--json",
    ]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(json.loads(answer.stdout)["ladder"])


def measured(ladder: Path, page: Path, repeats: int) -> list[str]:
    """Time the whole command, including the interpreter and all imports."""
    command = [sys.executable, "-m", "modelzero", "report", str(ladder), "-o", str(page)]
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    size = page.stat().st_size
    print(f"report of {ladder.name}: {size:,} bytes")
    spread = f"{min(took):.2f} to {max(took):.2f}, n = {repeats}"
    print(f"  cold {took[0]:.2f} s, median {statistics.median(took):.2f} s ({spread})")
    wrong = [f"{size:,} bytes, at most {MOST_BYTES:,} promised"] if size >= MOST_BYTES else []
    return wrong + ([f"{max(took):.2f} s, at most {MOST_SECONDS} promised"] if max(took) >= MOST_SECONDS else [])


def looked_at(page: Path, shots: Path, playwright: Path, chromium: str | None) -> list[str]:
    """Open the page in twelve ways, and list what is wrong with it."""
    if chromium is None:
        return ["chromium not found: give its path with --chromium"]
    script = Path(__file__).with_name("report_pages.mjs")
    command = ["node", str(script), str(playwright.resolve()), chromium, str(page.resolve()), str(shots.resolve())]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        return [f"the browser could not be driven: {answer.stderr.strip()[-500:]}"]
    states = json.loads(answer.stdout)
    wrong = []
    for state in states:
        wrong += [f"{state['name']}: console message: {message}" for message in state["messages"]]
        wrong += [f"{state['name']}: network request: {url}" for url in state["requests"][1:]]
        if max(state["too_wide"], state["too_wide_open"]) > 0:
            wrong.append(f"{state['name']}: {state['too_wide_open']} pixels wider than the window")
        if state["name"].endswith("-js") and not (state["sorted"] == 1 and state["tooltip"]):
            wrong.append(f"{state['name']}: sorting or values on hover do not work")
    print(f"  {len(states)} views at {', '.join(map(str, WIDTHS))} pixels in {shots}: {len(wrong)} problems")
    return wrong


def framed(shots: Path, picture: Path) -> None:
    """Combine parts of the page for the README: its top, the chart, and the details of the best rung."""
    from PIL import Image, ImageOps

    top = Image.open(shots / "1000-light-js-top.png").convert("RGB").crop((0, 20, 1000, 462))
    chart, matrix, tiles, reliability = (
        Image.open(shots / f"part-{name}.png").convert("RGB") for name in ("chart", "matrix", "tiles", "reliability")
    )
    tiles = tiles.crop((0, 0, tiles.width, 300))
    reliability = reliability.resize(
        (330, round(reliability.height * 330 / reliability.width)), Image.Resampling.LANCZOS
    )
    tops = [0, top.height + 16, top.height + chart.height + 40, top.height + chart.height + matrix.height + 72]
    sheet = Image.new("RGB", (1000, tops[3] + tiles.height), "white")
    for part, place in ((top, (0, 0)), (chart, (16, tops[1])), (matrix, (16, tops[2])), (tiles, (16, tops[3]))):
        sheet.paste(part, place)
    sheet.paste(reliability, (980 - reliability.width, tops[2]))
    ImageOps.expand(sheet, 1, "#d5d9de").quantize(96).save(picture, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
