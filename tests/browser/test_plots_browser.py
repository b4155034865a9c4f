"""`dvc plots show`, opened in headless Chromium: every chart is drawn, and the bars are true."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from support import browser
from support.project import Project

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm, which gets Vega for the page"),
]

# What vega-embed has made of the page's charts: their titles, legends, marks with a size, and what they are drawn from.
READ = """
return window.charts.map(view => {
    const texts = selector => [...view.container().querySelectorAll(selector)].map(text => text.textContent);
    const boxes = [...view.container().querySelectorAll('g.mark-symbol.role-mark path, g.mark-rect.role-mark path')];
    return {
        title: texts('.role-title text').join(' '),
        legend: texts('.role-legend-label text'),
        drawn: boxes.filter(box => box.getBBox().width > 0).length,
        rows: view.data('data_0') ?? view.data('source_0'),
    };
});
"""


def with_vega_beside(page: Path) -> int:
    """Have the page take its scripts from files, not from a CDN, and collect its charts; returns their number."""
    html = page.read_text()
    for address, package in re.findall(r'src="(https://[^"]*/npm/([^"]+))"', html):
        pack = ["npm", "pack", "--silent", package]
        packed = subprocess.run(pack, cwd=page.parent, check=True, capture_output=True, text=True).stdout.split()[-1]
        name = package.rpartition("@")[0]
        with tarfile.open(page.parent / packed) as archive:
            source = archive.extractfile(f"package/build/{name}.min.js")
            assert source is not None
            (page.parent / f"{name}.js").write_bytes(source.read())
        html = html.replace(address, f"{name}.js")
    html, charts = re.subn(
        r"vegaEmbed\(('#\w+'), spec\);",
        r"vegaEmbed(\1, spec, {renderer: 'svg'}).then(made => (window.charts ??= []).push(made.view));",
        html,
    )
    assert charts == html.count("vegaEmbed(")  # an apostrophe in a title once broke the script of its chart
    page.write_text(html)
    return charts


def test_every_chart_is_drawn_and_the_bars_are_true(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.dvc("plots", "show", "--out", "plots")
    page = project.folder / "plots" / "index.html"
    wanted = with_vega_beside(page)
    with browser.opened(tmp_path / "profile", (1400, 1000), {}) as chromium:
        chromium.get(page.as_uri())
        count = "return window.charts?.length"
        browser.wait(chromium, lambda: chromium.execute_script(count) == wanted, f"{wanted} charts")
        charts: dict[str, Any] = {chart["title"]: chart for chart in chromium.execute_script(READ)}
        assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert len(charts) == wanted
    assert {title for title, chart in charts.items() if not chart["drawn"]} == set()
    assert {title for title, chart in charts.items() if len(set(chart["legend"])) < len(chart["legend"])} == set()

    area = charts["area of the holes (% of the image)"]
    masks = pd.read_csv(project.folder / "reports/masks.csv").query("split == 'test'")
    assert {row["mask_set"]: float(row["mean"]) for row in area["rows"]} == dict(
        zip(masks["mask_set"], masks["mean"], strict=True)
    )
    assert area["drawn"] == len(masks)  # a bar for each mask set, with nothing stacked on it
    norms = charts["gradient norms at the last layer of the generator"]
    assert {"val_grad_norm_rec", "val_grad_norm_adv"} <= set(norms["legend"])
