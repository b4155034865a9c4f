"""A tiny pipeline that every test can afford."""

import shutil
import signal
from pathlib import Path

import pytest

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
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project whose data are downloaded and cropped; tests copy from it and leave it as it is."""
    project = Project(tmp_path_factory.mktemp("cropped"), {})
    project.stage("download")
    project.stage("crop")
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project whose seven stages have run, the joint one at a constant rate; tests copy it."""
    project = Project(tmp_path_factory.mktemp("finished") / "project", {"train_joint": {"schedule": "constant"}})
    project.repro()
    return project


@pytest.fixture
def project(cropped: Project, tmp_path: Path) -> Project:
    """A tiny project of the test's own, with data."""
    mine = Project(tmp_path / "project", {})
    shutil.copytree(cropped.folder / "data", mine.folder / "data")
    return mine
