"""Three pictures of MLflow's UI for the documentation: the runs table, two runs compared, one run's curves.

    python -m tests.support.screenshots --folder /some/project --out reports/figures/mlflow

The folder is a project that has run, with its mlflow.db. What the pictures show is chosen here: as columns, the
parameters in which the runs differ and the scores on the test split.
"""

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from ruamel.yaml import YAML
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from support import browser

WIDTH = 1400  # of the pictures
TABLE_WIDTH = 1680  # of the page with the table, which is scaled down: more columns
MOST_BYTES, MOST_HEIGHT = 250_000, 2200
MOST_ROWS = 12  # of the table, newest first
COMPARED = 3
PARAMETERS = 3  # columns of the table
SCORES = ("test/center/psnr", "test/center/ssim", "test/center/l1_hole", "test/box/psnr")
CURVES = "train_joint/(val|g_loss|d_loss)"


def main(
    folder: Annotated[Path, typer.Option(help="the project, with mlflow.db")],
    out: Annotated[Path, typer.Option(help="where the pictures go")],
) -> None:
    """Serve the project's runs as `make ui` does, and take the pictures."""
    folder = folder.resolve()
    name = YAML(typ="safe").load(folder / "params.yaml")["tracking"]["experiment"]
    experiment, runs = browser.search_runs(folder, name)
    runs = [run for run in runs if SCORES[0] in run.data.metrics][:MOST_ROWS]
    assert runs, f"no finished run in {folder}"
    ids = [run.info.run_id for run in runs]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        storage = _choices(experiment, _columns(runs))
        with (
            browser.served(folder, os.environ, Path(temporary) / "ui.log") as address,
            browser.opened(Path(temporary) / "profile", (WIDTH, 1000), storage) as page,
        ):
            _take_table(page, address, ids, out / "runs.png")
            _take_comparison(page, address, ids[:COMPARED], out / "compare.png")
            _take_run(page, f"{address.partition('?')[0]}/{ids[0]}", out / "run.png")


def _columns(runs: Sequence[Any]) -> dict[str, int]:
    """The table's columns and their widths in pixels."""
    values: dict[str, set[str | None]] = {}
    for run in runs:
        for name in run.data.params:
            values.setdefault(name, {other.data.params.get(name) for other in runs})
    different = [name for name in values if len(values[name]) > 1]
    most = sorted(different, key=lambda name: (name != "preset", -len(values[name]), name))[:PARAMETERS]
    scores = [name for name in SCORES if any(name in run.data.metrics for run in runs)]
    widths = {f"metrics.`{name}`": min(180, 8 * len(name) + 10) for name in scores}
    widths |= {f"params.`{name}`": min(200, 8 * len(name) + 10) for name in most}
    return widths | {"attributes.`Duration`": 90}


def _choices(experiment: str, columns: Mapping[str, int]) -> dict[str, str]:
    """What a person would have chosen before, in MLflow's words."""
    table = {"selectedColumns": list(columns), "columnOrder": list(columns), "columnWidths": dict(columns)}
    return browser.ASSISTANT_CLOSED | {
        "mlflow.workflowType_v1": '"machine_learning"',  # not GenAI
        f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState': json.dumps(table),
    }


def _take_table(page: WebDriver, address: str, ids: Sequence[str], picture: Path) -> None:
    _resize(page, 400 + 32 * len(ids), TABLE_WIDTH)
    browser.go(page, address)
    browser.table_rows(page, ids)
    page.find_element(By.CSS_SELECTOR, "button[aria-label='Toggle sidebar']").click()
    header = f".ag-header-cell[col-id='metrics.`{SCORES[0]}`']"
    browser.wait(page, lambda: page.find_element(By.CSS_SELECTOR, header), f"the column {SCORES[0]}")
    _save(page, picture)


def _take_comparison(page: WebDriver, address: str, ids: Sequence[str], picture: Path) -> None:
    _resize(page, 1000)
    browser.go(page, address)
    rows = browser.table_rows(page, ids)
    browser.compare(page, [rows[one] for one in ids])
    _plot_against(page, SCORES[0])
    for section in ("Parameters", "Metrics"):
        browser.show_differences(page, section)
    for section in ("Artifacts", "Tags"):  # fold
        header = f"//div[@role='button'][@aria-expanded='true'][normalize-space()='{section}']"
        browser.click(page, page.find_element(By.XPATH, header))
    script = """let page = document.querySelector(".mlflow-compare-table");
        while (page.parentElement && !(page.scrollHeight > page.clientHeight + 1 && page.clientHeight > 500))
            page = page.parentElement;
        return page.scrollHeight"""
    _resize(page, min(MOST_HEIGHT, page.execute_script(script) + 40))
    browser.scroll_to_metric(page, SCORES[0])
    page.execute_script("document.querySelector('h1, h2').scrollIntoView()")
    _save(page, picture)


def _plot_against(page: WebDriver, metric: str) -> None:
    """Put a metric into the comparison's plot in the place of the one MLflow takes, the first that was logged."""
    select = page.find_elements(By.CSS_SELECTOR, "input[role=combobox]")[1]  # the first is of parameters
    select.send_keys(Keys.BACKSPACE, Keys.ARROW_DOWN)

    def reached() -> bool:
        active = page.find_element(By.CSS_SELECTOR, "[class*=select-item-option-active]")
        if active.get_attribute("title") != metric:
            select.send_keys(Keys.ARROW_DOWN)
            return False
        return True

    browser.wait(page, reached, f"{metric} among the plot's metrics")
    select.send_keys(Keys.ENTER, Keys.ESCAPE)
    browser.wait(page, lambda: select.get_attribute("aria-description") == metric, f"{metric} in the plot")


def _take_run(page: WebDriver, address: str, picture: Path) -> None:
    _resize(page, 1000)
    browser.go(page, f"{address}/model-metrics")
    box = "input[placeholder='Search metric charts']"
    search = browser.wait(page, lambda: page.find_element(By.CSS_SELECTOR, box), "the charts' search")
    search.send_keys(CURVES)
    others = "//*[starts-with(normalize-space(text()), 'pretrain_')]"
    browser.wait(page, lambda: not page.find_elements(By.XPATH, others), "the other charts to go")
    browser.wait(page, lambda: page.find_element(By.CSS_SELECTOR, ".scatterlayer .trace"), "a curve")
    _save(page, picture)


def _resize(page: WebDriver, height: int, width: int = WIDTH) -> None:
    """Lay the page out in this size, whatever the browser puts around it, and draw it as wide as the pictures are."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": WIDTH / width, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _save(page: WebDriver, picture: Path) -> None:
    """Save what the browser shows, in as many colors as fit."""
    shot = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    for colors in (256, 128, 64, 32):
        shot.quantize(colors, dither=Image.Dither.NONE).save(picture, optimize=True)
        if picture.stat().st_size <= MOST_BYTES:
            print(f"{picture}: {shot.width}×{shot.height}, {picture.stat().st_size / 1000:.0f} kB")
            return
    raise SystemExit(f"error: {picture} stays larger than {MOST_BYTES} bytes")


if __name__ == "__main__":
    typer.run(main)
