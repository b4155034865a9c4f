"""A tiny pipeline that every test can afford."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from support.project import Project


def pytest_configure() -> None:
    """Hear signals: a shell that starts the tests in the background has them and their children ignore SIGINT."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first, so that no worker is left alone with one at the end (each begins with two of them)."""

    def is_short(item: pytest.Item) -> bool:
        runs_the_pipeline = any(name in item.nodeid for name in ("test_pipeline", "test_compare", "test_rebuild"))
        return not runs_the_pipeline and item.get_closest_marker("long") is None

    items.sort(key=is_short)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of a run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


def made_once(folder: Path, make: Callable[[Path], object]) -> Project:
    """The project in a shared folder: the first worker that asks makes it, and the others wait for it."""
    with FileLock(f"{folder}.lock"):
        if not (done := folder.with_suffix(".done")).exists():
            make(folder)
            done.touch()
    return Project.existing(folder)


@pytest.fixture(scope="session")
def cropped(shared: Path) -> Project:
    """A tiny project whose data are downloaded and cropped; tests copy from it and leave it as it is."""

    def make(folder: Path) -> None:
        project = Project(folder, {})
        project.stage("download")
        project.stage("crop")

    return made_once(shared / "cropped", make)


@pytest.fixture(scope="session")
def finished(shared: Path) -> Project:
    """A tiny project whose seven stages have run, the joint one at a constant rate; tests copy it."""

    def make(folder: Path) -> None:
        Project(folder, {"train_joint": {"lr_schedule": "constant"}}).repro()

    return made_once(shared / "finished", make)


@pytest.fixture
def project(cropped: Project, tmp_path: Path) -> Project:
    """A tiny project of the test's own, with data."""
    mine = Project(tmp_path / "project", {})
    shutil.copytree(cropped.folder / "data", mine.folder / "data")
    return mine
