"""The trained network in MLflow: logged, registered, chosen, and the same as the library's."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glcic import paths, tracking
from glcic.errors import UserError
from glcic.inference.completer import Completer
from glcic.tracking.model import REGISTERED
from support.store import PARAMS, SUMMARY, client_of, finished, runs_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a project")


def test_versions_are_registered_once_and_the_best_is_champion(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="make repro"):
        tracking.choose_champion(root, PARAMS, SUMMARY)

    def params(seed: int) -> dict[str, Any]:
        return copy.deepcopy(PARAMS) | {"seed": seed}

    first = finished(tmp_path / "1", 1, 24.0)
    for _ in range(2):
        tracking.complete_run(root, params(1), first)
    tracking.complete_run(root, params(2), finished(tmp_path / "2", 2, 25.0))
    tracking.complete_run(root, params(3), finished(tmp_path / "3", 3, 26.0, data=8 * "76543210"))
    captured = capfd.readouterr()
    assert captured.err == "", "MLflow chatters, or warned"
    assert list(tmp_path.glob("ml*")) == [], "MLflow wrote into the working directory"

    # Where the project lies stands in no model, though MLflow's own store must know where its files are.
    for description in root.glob("mlartifacts/models/*/artifacts/MLmodel"):
        lines = [line for line in description.read_text().splitlines() if not line.startswith("artifact_path")]
        assert str(tmp_path) not in "\n".join(lines)
        assert str(Path(tracking.__file__).parent) not in "\n".join(lines)
    client = client_of(root)
    for logged in client.search_logged_models([runs_of(root, params(1))[0].info.experiment_id]):
        assert not any(str(folder) in str(logged.tags) for folder in (tmp_path, Path.cwd(), Path.home()))
    versions = {version.version: version for version in client.search_model_versions(f"name = '{REGISTERED}'")}
    assert len(versions) == 3
    assert versions[1].tags["val/center/psnr"] == "24"
    assert versions[1].run_id == runs_of(root, params(1))[0].info.run_id

    candidates = tracking.choose_champion(root, PARAMS, SUMMARY)
    assert [(candidate.version, candidate.psnr) for candidate in candidates] == [("2", 25.0), ("1", 24.0)]
    assert client.get_model_version_by_alias(REGISTERED, "champion").version == 2
    table = first.report.validation
    table.write_text(table.read_text().replace("24.0", "25.5"))  # the evaluation was repeated
    tracking.complete_run(root, params(1), first)
    assert tracking.choose_champion(root, PARAMS, SUMMARY)[0].version == "1"

    import mlflow
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    mlflow.set_tracking_uri(client.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{REGISTERED}@champion")
    rng = np.random.default_rng(0)
    for n, height, width in [(1, 16, 16), (3, 17, 22)]:
        image = rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8)
        mask = np.zeros((n, 1, height, width), dtype=np.uint8)
        mask[:, :, 3:9, 4:12] = 1
        expected = Completer(first.folder / paths.GENERATOR)(image, mask)
        for white in (1.0, 255.0):
            assert np.array_equal(model.predict({"image": image.astype(float), "mask": white * mask}), expected)
    numbers = image.astype(float)
    inverted = 1.0 - mask
    for images, masks, complaint in (
        (numbers, 2.0 * mask, "masks have the value 2"),
        (numbers, 0.5 * mask, r"masks have the value 0\.5"),
        (numbers, np.zeros_like(inverted), "mask 0: nothing is white"),
        (numbers, inverted, r"mask 0: covers 87\.2 % .* allow_large=True"),
        (numbers / 255, mask.astype(float), "an image has no value above 1; send values from 0 to 255"),
        (numbers + 0.5, mask.astype(float), "images have the value .*; send whole numbers from 0 to 255"),
        (numbers - 1e3, mask.astype(float), "no value above 1"),
        (numbers + 1e3, mask.astype(float), "images have the value 1"),
        (image, mask, "dtype of input uint8 does not match expected dtype float64"),
    ):
        with pytest.raises(MlflowException, match=complaint):
            model.predict({"image": images, "mask": masks})
    whole = model.predict({"image": numbers, "mask": inverted}, params={"allow_large": True})
    assert np.array_equal(whole, Completer(first.folder / paths.GENERATOR)(image, 1 - mask, allow_large=True))
