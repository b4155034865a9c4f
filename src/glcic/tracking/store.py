"""The MLflow store: where it is, how it is opened, and how the run of a configuration is found in it."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from glcic.tracking.moved import ARTIFACTS, follow
from glcic.tracking.page import PAGE
from glcic.tracking.parameters import fingerprint, flat, runtime_tags
from glcic.tracking.tags import FINGERPRINT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARAMS_PER_BATCH = 100  # MLflow's limit
_LOCK_SECONDS = 120


def address(root: Path) -> str:
    """Where the store is: the server that MLFLOW_TRACKING_URI names, or a database in `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def exists(root: Path) -> bool:
    """Whether there is a store to look into, as far as can be said without opening it."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (root / "mlflow.db").is_file()


def connect(root: Path) -> "MlflowClient":
    """A client for the store. Importing mlflow takes seconds: nobody does before this."""
    follow(root)
    for variable, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a dead server must not hold up training for minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }.items():
        os.environ.setdefault(variable, value)
    import mlflow  # reads some of these when it is imported

    # Retries and lost samples of the machine's load: our one warning says it.
    for name in ("urllib3.connectionpool", "mlflow.system_metrics", "mlflow.utils.autologging_utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow.MlflowClient(address(root))


def locked(root: Path) -> FileLock:
    """The lock under which stores are opened, and runs and models created.

    Two processes that open a fresh SQLite store at once corrupt it for good, and two that look for the same run at
    once would each create it.
    """
    path = root / ".glcic" / "mlflow.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=_LOCK_SECONDS)


def attach(
    root: Path, params: Mapping[str, Any], choose: Callable[[Sequence["Run"]], "Run | None"], title: str | None = None
) -> tuple["MlflowClient", "Run"]:
    """Open the store and choose a run of these parameters; create one if none is chosen.

    Args:
        root: folder of the store, unless MLFLOW_TRACKING_URI names a server.
        params: the whole parameter file.
        choose: from their runs, the newest first.
        title: of a new run; None: what DVC calls the experiment, else preset and short fingerprint.
    """
    with locked(root):
        client = connect(root)
        experiment = _experiment(client, root, params["tracking"]["experiment"])
        run = choose(runs_of(client, params))
        if run is None:
            tags = {FINGERPRINT: fingerprint(params), **runtime_tags(params)}
            run = client.create_run(experiment, tags=tags, run_name=title or _title(params))
        _log_params(client, run, params)
    return client, run


def runs_of(client: "MlflowClient", params: Mapping[str, Any]) -> Sequence["Run"]:
    """The runs of these parameters, the newest first."""
    known = client.get_experiment_by_name(params["tracking"]["experiment"])
    if known is None:
        return []
    mark = f"tags.`{FINGERPRINT}` = '{fingerprint(params)}'"
    return client.search_runs([known.experiment_id], mark, order_by=["start_time DESC"])


def set_tags(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    """Set those that the run, as it was read, lacks or has with another value."""
    for key, value in tags.items():
        if run.data.tags.get(key) != value:
            client.set_tag(run.info.run_id, key, value)


def warn(error: Exception) -> None:
    """The one line that a failure of tracking costs."""
    reason = (str(error).splitlines() or [""])[0][:200]
    print(f"warning: MLflow: {type(error).__name__}: {reason}; going on without tracking", file=sys.stderr)


def _title(params: Mapping[str, Any]) -> str:
    return os.environ.get("DVC_EXP_NAME") or f"{params['preset']}-{fingerprint(params)[:8]}"


def _experiment(client: "MlflowClient", root: Path, name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known is None:
        artifacts = None if os.environ.get("MLFLOW_TRACKING_URI") else (root.resolve() / ARTIFACTS).as_uri()
        return client.create_experiment(name, artifact_location=artifacts, tags=PAGE)
    for key, value in PAGE.items():
        if known.tags.get(key) != value:
            client.set_experiment_tag(known.experiment_id, key, value)
    return known.experiment_id


def _log_params(client: "MlflowClient", run: "Run", params: Mapping[str, Any]) -> None:
    """Log what the run lacks: everything if it is new, the rest if its creator died on the way."""
    from mlflow.entities import Param

    missing = [Param(key, value) for key, value in flat(params).items() if key not in run.data.params]
    for start in range(0, len(missing), _PARAMS_PER_BATCH):
        client.log_batch(run.info.run_id, params=missing[start : start + _PARAMS_PER_BATCH], synchronous=True)
