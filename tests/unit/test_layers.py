"""The plan of the house: packages import downwards only, nothing in a circle, and only tracking knows MLflow."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from support.dependencies import ROOT, imports

SOURCE = Path("src/glcic")
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / SOURCE).rglob("*.py"))
LAYERS = (
    ("errors",),
    ("files", "images", "paths", "renamed"),
    ("params",),
    ("masks", "networks"),
    ("data", "inference"),
    ("training", "evaluation"),
    ("phases", "report"),
    ("tracking",),
    ("experiments",),
    ("cli", "__init__"),
)
LEVEL = {package: level for level, layer in enumerate(LAYERS) for package in layer}
ALLOWED = {("inference", "data")}  # within one layer
OUTERMOST = SOURCE / "__init__.py"  # imports on demand what others import from `glcic`


def package(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[Path]:
    return {found for found in imports(file) if found not in (file, OUTERMOST)}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_nothing_imports_upward(file: Path) -> None:
    own = package(file)
    for found in imported(file):
        assert found.is_relative_to(SOURCE), f"the library imports {found}"
        other = package(found)
        within = own == other or (own, other) in ALLOWED
        assert within or LEVEL[other] < LEVEL[own], f"{own} imports {found}"


def test_nothing_is_imported_in_a_circle() -> None:
    """Parents are left out: a package's __init__ may import its members."""
    graph = {file: {found for found in imported(file) if found != file.parent / "__init__.py"} for file in FILES}
    assert set(TopologicalSorter(graph).static_order()) == set(FILES)  # raises CycleError


def test_only_tracking_imports_mlflow() -> None:
    for file in FILES:
        names = [
            name
            for node in ast.walk(ast.parse((ROOT / file).read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        ]
        assert package(file) == "tracking" or not any(name.split(".")[0] == "mlflow" for name in names), file
