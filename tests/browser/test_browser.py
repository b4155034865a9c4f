"""MLflow's UI, in a real browser: two configurations are two runs, and comparing them shows what differed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from support import browser
from support.project import Project

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]

CHANGES = {
    "train_joint": {"adv_weight": 0.125},
    "pretrain_generator": {"optimizer": {"lr": 0.005}},
}
DIFFERENT = {"train_joint.adv_weight": "0.125", "pretrain_generator.optimizer.lr": "0.005"}
METRICS = [f"test/{mask_set}/{score}" for mask_set in ("center", "box") for score in ("l1_hole", "psnr", "ssim")]


@contextlib.contextmanager
def pictured(page: WebDriver, picture: Path) -> Iterator[None]:
    """On failure, keep a picture of what the browser shows, and name it."""
    try:
        yield
    except BaseException as error:
        page.save_screenshot(str(picture))
        error.add_note(f"what the browser showed: {picture}")
        raise


def test_two_configurations_are_compared(tmp_path: Path) -> None:
    """Tick both runs, press Compare: what differed, the scores, and the curves of the joint phase."""
    project = Project(tmp_path / "project", {"tracking": {"enabled": True}})
    for overlay in ({}, CHANGES):
        project.set(overlay)
        project.repro()
        project.run("glcic", "sync")
    experiment, (second, first) = browser.search_runs(project.folder, "glcic")

    with (
        browser.served(project.folder, project.environment, tmp_path / "ui.log") as address,
        browser.opened(tmp_path / "profile", (1600, 1100), browser.ASSISTANT_CLOSED) as page,
        pictured(page, tmp_path / "failure.png"),
    ):
        browser.go(page, address)
        rows = browser.table_rows(page, [first.info.run_id, second.info.run_id])
        assert len(rows) == 2
        assert f"/experiments/{experiment}/runs" in page.current_url
        browser.compare(page, [rows[first.info.run_id], rows[second.info.run_id]])

        browser.show_differences(page, "Parameters")
        table = browser.parameter_rows(page)
        shown = {name: sorted(values) for name, values in table.items() if name in first.data.params}
        assert shown == {name: sorted([first.data.params[name], value]) for name, value in DIFFERENT.items()}
        for name in METRICS:
            values = sorted(run.data.metrics[name] for run in (first, second))
            assert sorted(map(float, browser.scroll_to_metric(page, name))) == pytest.approx(values, rel=0.01), name
        assert len(browser.plot_metric(page, "train_joint/g_loss_rec")) == 2

        assert browser.strange_requests(page) == []
