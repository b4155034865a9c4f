"""A store that was moved or copied with its project: found again, and the original left alone."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from glcic import tracking
from glcic.errors import UserError
from glcic.tracking.model import REGISTERED
from support.store import PARAMS, artifacts, client_of, finished, runs_of


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a store with one row and its model, in a folder of an ordinary name."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "Übung #1, 50% (it's)"
    root.mkdir()
    assert tracking.complete_run(root, PARAMS, finished(root / "outputs", 1, 24.0))
    return root


def test_a_moved_store_is_found_again(store: Path, tmp_path: Path) -> None:
    import mlflow

    (run,) = runs_of(store, PARAMS)
    before = sorted(artifacts(store, run))
    assert "params.yaml" in before
    moved = store.rename(tmp_path / "elsewhere")
    tracking.follow(moved)
    (run,) = runs_of(moved, PARAMS)
    assert sorted(artifacts(moved, run)) == before
    mlflow.set_tracking_uri(f"sqlite:///{moved / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model(f"models:/{REGISTERED}/1")
    image, mask = np.full((1, 3, 16, 16), 128.0), np.zeros((1, 1, 16, 16))
    mask[..., 4:8] = 1
    assert model.predict({"image": image, "mask": mask}).shape == image.shape
    assert not store.exists()


def test_a_copied_store_leaves_the_original_alone(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    before = contents(store)
    assert tracking.complete_run(copy, PARAMS | {"seed": 3}, finished(copy / "more", 2, 25.0))
    stage_run = tracking.open_run(copy, PARAMS | {"seed": 2}, stage="train_joint", step=0)
    assert stage_run is not None
    stage_run.log_image(1, np.zeros((4, 4, 3), np.uint8))
    stage_run.interrupt()
    assert contents(store) == before
    (run,) = runs_of(copy, PARAMS | {"seed": 2})
    assert len(list(artifacts(copy, run, "images"))) > 0
    assert str(store) not in "".join(sqlite3.connect(copy / "mlflow.db").iterdump())


def test_a_store_that_stayed_is_left_as_it_is(store: Path) -> None:
    before = (store / "mlflow.db").stat()
    tracking.follow(store)
    assert (store / "mlflow.db").stat() == before


def test_locations_that_were_chosen_by_hand_stay(store: Path, tmp_path: Path) -> None:
    client_of(store).create_experiment("mine", artifact_location="file:///elsewhere/artifacts")
    tracking.follow(moved := store.rename(tmp_path / "moved"))
    experiment = client_of(moved).get_experiment_by_name("mine")
    assert experiment.artifact_location == "file:///elsewhere/artifacts"


def test_a_store_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("no database, but as long as the first page of one would be\n" * 20)
    with pytest.raises(UserError, match=r"mlflow\.db: .*otherwise remove it"):
        tracking.follow(tmp_path)
