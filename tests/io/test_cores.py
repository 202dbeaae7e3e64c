"""How busy other programs keep the cores."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelzero.io.cores import CoreUse, available_cores


def test_what_is_neither_idle_nor_ours_is_used_by_others(tmp_path):
    """Whose idle time does not grow while nothing is computed here: every core is busy with something else."""
    figures = tmp_path / "stat"
    figures.write_text("".join(f"cpu{core} 1 2 3 400 5 6\n" for core in os.sched_getaffinity(0)))
    use = CoreUse(figures)
    time.sleep(0.3)
    assert use.by_others() == pytest.approx(available_cores(), abs=0.3)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux only")
def test_a_child_is_not_another_program():
    """What a child of this process computes counts as ours, once it has ended."""
    use = CoreUse()
    work = "import time\nwhile time.process_time() < 0.6: pass"
    before = sum(os.times()[:4])
    subprocess.run([sys.executable, "-c", work], check=True)
    assert sum(os.times()[:4]) - before > 0.5
    assert 0 <= use.by_others() <= available_cores()


def test_unknown_figures_are_no_error(tmp_path):
    """Elsewhere than on Linux nothing is known."""
    (tmp_path / "stat").write_text("nonsense")
    assert CoreUse(tmp_path / "stat").by_others() is None
    assert CoreUse(tmp_path / "missing").by_others() is None
