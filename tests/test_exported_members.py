"""The public names: all of them, and nothing else."""

import subprocess
import sys

import pytest

import modelzero as mz

NAMES = [
    "Audit",
    "DataError",
    "ImageData",
    "InputError",
    "Ladder",
    "Loader",
    "ModelError",
    "ModelZeroError",
    "Replay",
    "Run",
    "RunError",
    "Rung",
    "SettingError",
    "Split",
    "TrainingError",
    "__version__",
    "audit",
    "climb",
    "compare",
    "export",
    "from_arrays",
    "from_torch",
    "load",
    "plot",
    "predict",
    "replay",
    "report",
    "resume",
    "train",
]


def output_of(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stderr == ""
    return result.stdout


def test_all_names_exactly_these():
    """A name that is added or lost is added or lost on purpose."""
    assert sorted(mz.__all__) == NAMES


def test_dir_lists_the_public_names():
    """What completion offers is the public interface, and no module that happens to be imported."""
    assert dir(mz) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name):
    """Each name of the list is an attribute, and the object itself bears that name."""
    value = getattr(mz, name)
    assert name == "__version__" or (value.__name__ == name and value.__module__.startswith("modelzero."))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_the_same_twice(name):
    """A class that is looked up again is the same class, so that `except mz.DataError` works."""
    assert getattr(mz, name) is getattr(mz, name)


def test_unknown_name():
    """Python's own words for a name that is not there."""
    with pytest.raises(AttributeError, match="module 'modelzero' has no attribute 'lr'"):
        _ = mz.lr


def test_star_import():
    """`from modelzero import *` brings these names and no other."""
    code = "own = {*globals(), 'own'}; from modelzero import *; print(*sorted({*globals()} - own))"
    assert output_of(code).split() == NAMES


def test_import_waits_for_nothing():
    """Importing modelzero prints nothing and imports none of the heavy packages."""
    heavy = ["torch", "numpy", "scipy", "sklearn", "PIL", "safetensors", "tqdm", "rich", "typer"]
    code = f"import modelzero, sys; print([name for name in {heavy} if name in sys.modules])"
    assert output_of(code).strip() == "[]"


def test_errors_need_no_torch_either():
    """The names of the errors can be used without waiting for torch."""
    assert output_of("import modelzero, sys; modelzero.DataError; print('torch' in sys.modules)").strip() == "False"


@pytest.mark.parametrize("name", ["DataError", "ModelError", "SettingError", "RunError"])
def test_input_errors(name):
    """One `except` catches everything that the user gave and that cannot be used."""
    assert issubclass(getattr(mz, name), mz.InputError)


@pytest.mark.parametrize("name", ["InputError", "TrainingError"])
def test_one_base(name):
    """One `except` catches everything that modelzero raises on purpose."""
    assert issubclass(getattr(mz, name), mz.ModelZeroError)


def test_failed_training_is_no_input_error():
    """The commands tell them apart: 1 and 2."""
    assert not issubclass(mz.TrainingError, mz.InputError)
