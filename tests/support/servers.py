"""Servers that tests start and stop on the loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

_START_SECONDS = 180  # MLflow's import, on a busy machine
_STOP_SECONDS = 30


def free_port() -> int:
    """A free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], folder: Path, url: str, log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[requests.Session]:
    """Run a server command until the end of the block, which begins when `url` answers.

    Args:
        command: the command.
        folder: where to run it.
        url: address to wait for.
        log: file for its output; a pipe could fill up.
        environment: its environment variables.
    """
    # These belong to the make that may run the tests, not to this one.
    environment = {name: value for name, value in environment.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    session = requests.Session()
    session.trust_env = False  # no proxy on the way to this machine
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(session, url):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"waited in vain for {url}: {log.read_text()}"
            time.sleep(0.2)
        yield session
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):  # to the server and its children
            with suppress(ProcessLookupError):
                os.killpg(server.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                server.wait(_STOP_SECONDS)


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
