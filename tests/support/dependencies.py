"""First-party import closures, to compare dvc.yaml's deps with the imports of a stage."""

import ast
from collections.abc import Container
from pathlib import Path

ROOT = Path(__file__).parents[2]


def module_file(module: str) -> Path | None:
    """File of a first-party module, relative to the root, or None."""
    base = ROOT / "src" if module.split(".")[0] == "glcic" else ROOT
    path = base.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate.relative_to(ROOT)
    return None


def imports(file: Path) -> set[Path]:
    """First-party files that a file imports, including the __init__ files of packages."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] in ("glcic", "pipeline"):
                for n in range(1, len(parts) + 1):
                    if path := module_file(".".join(parts[:n])):
                        found.add(path)
    return found


def closure(file: Path, apart: Container[Path] = ()) -> set[Path]:
    """All first-party files with code that running `file` executes, including itself.

    Args:
        file: file to start from.
        apart: files to exclude, together with files that only they import.
    """
    seen: set[Path] = set()
    todo = {file}
    while todo:
        current = todo.pop()
        seen.add(current)
        todo |= {found for found in imports(current) - seen if found not in apart}
    return {path for path in seen if has_code(path)}


def has_code(file: Path) -> bool:
    """Whether a file contains more than docstrings."""
    body = ast.parse((ROOT / file).read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)
