"""The rooms of the house: imports, lazy ones too, point down only, and no two files import each other in a circle."""

import ast
from functools import cache
from pathlib import Path

import modelzero

SOURCE = Path(modelzero.__file__).parent
# From the top to the bottom: a file imports from its own room and from those below it.
ROOMS = [
    ["__main__"],
    ["cli"],
    ["chapter", "bench"],
    ["__init__"],  # the public names, which commands call
    ["reporting", "plots"],
    ["using"],
    ["climbing"],
    ["results"],
    ["training"],
    ["runs"],
    ["models"],
    ["data"],
    ["statistics"],
    ["io"],
    ["text"],
    ["signals"],
    ["errors"],
    ["_version"],
]
RANK = {name: rank for rank, names in enumerate(ROOMS) for name in names}


@cache
def modules():
    """Return the source of each module by its dotted name within the package."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in SOURCE.rglob("*.py")
    }


@cache
def imports():
    """Return which modules each module imports, wherever in it the import stands."""
    trees = modules()
    packages = {name.removesuffix(".__init__") for name in trees if name.endswith(".__init__")}

    def known(name):
        if name in trees:
            return name
        return f"{name}.__init__" if name in packages else None

    found = {}
    for module, tree in trees.items():
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} imports relatively"
                names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        inside = {known(name.removeprefix("modelzero.") if name != "modelzero" else "__init__") for name in names
                  if name == "modelzero" or name.startswith("modelzero.")}  # fmt: skip
        found[module] = {name for name in inside if name and name != module}
    return found


def test_every_room_has_its_place():
    """A new folder or file on the top level is put into the order above."""
    assert {name.partition(".")[0] for name in modules()} == set(RANK)


def test_no_arrow_points_up():
    """Results know no page, data no figure, a run no command."""
    up = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in sorted(others)
        if RANK[other.partition(".")[0]] < RANK[module.partition(".")[0]]
    ]
    assert not up


def test_no_two_files_import_each_other():
    """Nor do three or more: taking away what imports none of the rest, again and again, leaves nothing."""
    left = {module: set(others) for module, others in imports().items()}
    while leaves := {module for module, others in left.items() if not others & left.keys()}:
        for module in leaves:
            del left[module]
    # What only imports a circle, and is not part of it, goes too.
    while tops := {module for module in left if not any(module in others for others in left.values())}:
        for module in tops:
            del left[module]
    assert not left, {module: sorted(others & left.keys()) for module, others in left.items()}


def test_no_function_has_many_parameters():
    """At most eight, but for `load`, `train` and `climb`, and for what numba compiles, which takes flat arrays."""
    long = []
    for module, tree in modules().items():
        if module in ("training.fused.kernel", "training.fused.tiles"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name not in ("load", "train", "climb"):
                given = node.args
                names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                if len([name for name in names if name not in ("self", "cls")]) > 8:
                    long.append(f"{module}.{node.name}")
    assert not long


def test_only_the_models_know_kinds_of_models():
    """Nothing outside `models/` asks whether a model is a module, one of ours that is fitted, or a classifier."""
    kinds = {"Module", "Fitted", "Classifier", "is_classifier"}
    asking = [
        f"{module}, line {node.lineno}"
        for module, tree in modules().items()
        if not module.startswith("models.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "is_classifier")
        for name in ast.walk(node)
        if (getattr(name, "attr", None) or getattr(name, "id", None)) in kinds
    ]
    assert not asking
