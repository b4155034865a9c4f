"""DVC's commands as child processes: real ones, that do little; and what is taken from its cache."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from glcic.errors import DiskFull, UserError
from glcic.experiments.repository import dvc, started_dvc, take_outputs
from glcic.training.stop import Stopped, StopRequest


def test_a_failed_command_is_named() -> None:
    with StopRequest() as stop, pytest.raises(UserError, match="`dvc nonsense` failed"):
        dvc("nonsense", stop=stop)


def ask_and_wait(process: subprocess.Popen[bytes]) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    assert process.wait() == 0


def test_a_command_is_interrupted_no_sooner_than_what_is_done_meanwhile() -> None:
    with StopRequest() as stop, pytest.raises(Stopped), started_dvc("root", stop=stop) as process:
        ask_and_wait(process)
    with StopRequest() as stop, pytest.raises(Stopped), started_dvc("root", stop=stop) as process:
        os.kill(os.getpid(), signal.SIGTERM)
    assert process.returncode != 0


def test_nothing_is_left_of_a_command_when_we_fail() -> None:
    with StopRequest() as stop, pytest.raises(KeyError), started_dvc("root", stop=stop) as process:
        raise KeyError
    assert process.returncode == -signal.SIGKILL


def test_nothing_is_started_once_somebody_asked() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Stopped):
            dvc("root", stop=stop)


class Cache:
    """In the place of DVC's file system: of a folder's two files one is still there."""

    def __init__(self, rev: str) -> None:
        pass

    def find(self, path: str) -> list[str]:
        return [f"/{path}/here", f"/{path}/gone"]

    def read_bytes(self, file: str) -> bytes:
        if file.endswith("gone"):
            raise FileNotFoundError(file)
        return b"weights"


def test_outputs_that_are_no_longer_there_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvc.api.DVCFileSystem", Cache)
    take_outputs("HEAD", [Path("models")], tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["here"]


def test_outputs_for_which_there_is_no_room_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dvc.api.DVCFileSystem", Cache)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match="models/here"):
        take_outputs("HEAD", [Path("models")], tmp_path)
