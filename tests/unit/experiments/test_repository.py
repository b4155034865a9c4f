"""DVC's commands as child processes: real ones, that do little."""

import os
import signal
import subprocess

import pytest

from glcic.errors import UserError
from glcic.experiments.repository import dvc, started_dvc
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
