"""What the benchmarks share: sides that alternate in one process, and a table with their ratios, pair by pair."""

from __future__ import annotations

import statistics


def in_turn(sides, repeats=5, warm_up=1):
    """Run (name, function) sides alternately; return the seconds of each, without the warm-up.

    A function returns the seconds that it measured itself.
    """
    seconds = {name: [] for name, _ in sides}
    for repeat in range(repeats + warm_up):
        for name, function in sides:
            took = function()
            if repeat >= warm_up:
                seconds[name].append(took)
        shown = "   ".join(f"{name} {values[-1]:.3f} s" for name, values in seconds.items() if values)
        print(f"{repeat + 1} of {repeats + warm_up}   {shown or 'warm-up'}", flush=True)
    return seconds


def table(seconds):
    """Print a Markdown table: each side's median and extremes, then the first side over each other, pair by pair."""
    print("\n| | median | min to max |\n| --- | ---: | ---: |")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} s | {min(values):.3f} to {max(values):.3f} s |")
    (first, slow), *others = seconds.items()
    for name, fast in others:
        ratios = [a / b for a, b in zip(slow, fast, strict=True)]
        print(f"| {first} / {name} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |")
