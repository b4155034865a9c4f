"""`make repro` on any ordinary folder: unpacked from a ZIP, under a name full of traps, then copied, then moved.

The environment is a real one, which `make setup` makes, but for what fills it: it is lent the packages of the one that
the tests run in, by PYTHONPATH. Only `glcic` itself is not among those: it is where the environment says.
"""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
import requests

from support.browser import served
from support.project import ROOT, Project
from support.store import client_of
from support.unpacked import lent, make, unpacked

# Longer than the 127 characters that Linux reads of a script's first line.
NAME = f"Meine Übung #1 (it's) $HOME & more/{'a long name ' * 10}/glcic face"


def code_of(project: Project) -> Path:
    """The folder of the code that the environment in a project runs."""
    printed = project.run(".venv/bin/python", "-c", "import glcic; print(glcic.__file__)", **lent())
    return Path(printed.strip()).parent


def store_of(project: Project) -> dict[str, bytes]:
    return project.bytes_of("mlflow.db", "mlartifacts/**/*.*")


def assert_ui_shows_artifacts(project: Project, log: Path) -> None:
    (run,) = client_of(project.folder).search_runs(["1"])
    with requests.Session() as session, served(project.folder, project.environment | lent(), log) as page:
        session.trust_env = False
        address = page.partition("/#")[0]
        for name in ("params.yaml", "figures/completions.png"):
            answer = session.get(f"{address}/get-artifact", params={"path": name, "run_uuid": run.info.run_id})
            assert answer.status_code == 200, answer.text
            assert len(answer.content) > 100
    assert not re.search("error|warning", log.read_text()), log.read_text()


@pytest.mark.long
def test_make_repro_works_in_an_unpacked_zip_and_where_that_is_copied_and_moved(tmp_path: Path) -> None:
    project = unpacked(tmp_path / "made" / NAME)
    printed = make(project, "setup")
    assert printed.startswith("no git repository here, which DVC needs: made an empty one (git init)\nSetting up .venv")
    project.run(".venv/bin/glcic", "preset", "tiny", **lent())
    printed = make(project, "repro")
    assert "Setting up" not in printed
    assert "warning" not in printed
    assert "MLflow: run tiny-" in printed
    assert [path.name for path in (tmp_path / "made").iterdir()] == [NAME.split("/")[0]]  # nothing was made elsewhere
    assert code_of(project) == project.folder / "src" / "glcic"

    copy = Project.existing(tmp_path / "a copy")
    shutil.copytree(project.folder, copy.folder, symlinks=True)
    before = store_of(project)
    assert "Setting up" not in make(copy, "setup")
    assert code_of(copy) == copy.folder / "src" / "glcic"
    assert_ui_shows_artifacts(copy, tmp_path / "copy.log")
    assert str(tmp_path / "made") not in "".join(sqlite3.connect(copy.folder / "mlflow.db").iterdump())
    (copy.folder / "src/glcic/cli.py").write_text("def main() -> None:\n    print('the copy')\n")
    assert copy.run(".venv/bin/glcic", **lent()) == "the copy\n"
    assert store_of(project) == before

    moved = Project.existing(project.folder.rename(tmp_path / "moved"))
    printed = make(moved, "repro")
    assert "Setting up" not in printed
    assert "Running stage" not in printed
    assert "MLflow: run tiny-" in printed
    assert code_of(moved) == moved.folder / "src" / "glcic"
    assert_ui_shows_artifacts(moved, tmp_path / "moved.log")


@pytest.mark.long
def test_an_environment_whose_interpreter_is_gone_is_made_again(tmp_path: Path) -> None:
    """As after a copy to another machine, or after an update of the system."""
    project = unpacked(tmp_path / "project")
    make(project, "setup")
    for name in ("python", "python3"):
        (project.folder / ".venv/bin" / name).unlink()
        (project.folder / ".venv/bin" / name).symlink_to("/nowhere/python3")
    assert "Setting up" in make(project, "setup")
    assert code_of(project) == project.folder / "src" / "glcic"


@pytest.mark.parametrize("name", ["100% mine", "a:b"])
def test_a_folder_whose_name_cannot_be_used_is_refused_at_once(tmp_path: Path, name: str) -> None:
    project = Project.existing(tmp_path / name)
    project.folder.mkdir()
    shutil.copy(ROOT / "Makefile", project.folder)
    printed = project.run("make", "repro", MAKEFLAGS="", MAKELEVEL="0", expect=2)
    assert printed.startswith(
        f"error: {project.folder}: a folder's name must have no % (for MLflow) and no colon (for PATH); rename"
    )
    assert [path.name for path in project.folder.iterdir()] == ["Makefile"]
