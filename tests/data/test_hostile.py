"""A share of the campaign in `benchmarks/hostile_input.py`: damaged files and hostile archives through whole loads."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hostile_input.py"


def test_damaged_files_and_hostile_archives_end_in_a_load_or_a_refusal():
    """Of all kinds; nothing else comes out, nothing hangs, prints, eats memory, or writes where it should not."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--files", "600", "--archives", "40", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| 0 \| 0 \|", done.stdout, re.MULTILINE)
    assert {row[0] for row in rows} == {
        *("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"),
        *("idx", "gz", "npz", "npy", "parquet", "csv", "zip", "tar"),
    }
    for kind, files, loaded, left_out, refused in rows:
        assert int(files) > 0
        assert int(left_out) + int(refused) > 0, f"no {kind} was damaged enough to be noticed"
        assert int(loaded) + int(refused) > 0
    assert "0 letters printed, 0 archives wrote outside" in done.stdout
