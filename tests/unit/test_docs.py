"""README and docs/: as short as they promise, no link that leads nowhere, and the numbers of the reports."""

import re
from pathlib import Path

import pandas as pd
import pytest

from glcic.evaluation.definitions import ALL, METHODS
from glcic.report.formatting import interval, number
from support.project import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "tools/offline/README.md",
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize(("page", "most"), [("README.md", 170), ("CONTRIBUTING.md", 60)])
def test_pages_of_one_page_stay_so(page: str, most: int) -> None:
    assert len((ROOT / page).read_text().splitlines()) <= most


def test_the_docs_are_those_that_were_promised() -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {"results", "evaluation", "systems", "experiments", "reproducibility", "design"} <= names
    readme = (ROOT / "README.md").read_text()
    for name in names - {"design"}:
        assert f"docs/{name}.md" in readme or any(
            f"({name}.md" in other.read_text() for other in (ROOT / "docs").glob("*.md")
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The names that a Markdown page's headings can be linked by."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("report", ["reports", "reports/celeba-small"])
def test_tables_of_results_are_those_of_the_reports(report: str) -> None:
    """The table after `<!-- report -->` has the means and intervals of the report's CSV files."""
    text = (ROOT / "docs/results.md").read_text()
    table = text.split(f"<!-- {report} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    rows = pd.read_csv(ROOT / report / "intervals.csv").set_index(["mask_set", "method", "metric"])
    assert len(table) == 2 * len(METHODS)
    for line in table:
        mask_set, title, *cells = (cell.strip(" *") for cell in line.strip("|").split("|"))
        method = next(name for name, known in METHODS.items() if known == title)
        for metric, cell in zip(("l1_hole", "psnr", "ssim"), cells, strict=True):
            mean, low, high = (float(rows[name][mask_set, method, metric]) for name in ("mean", "low", "high"))
            digits = ALL[metric].digits
            assert cell == f"{number(mean, digits)} {interval(low, high, digits)}", line


def test_the_first_table_of_the_readme_is_that_of_the_results() -> None:
    readme, results = ((ROOT / name).read_text().replace("**", "") for name in ("README.md", "docs/results.md"))
    rows = [line for line in readme.splitlines() if re.match(r"\| (center|box) \|", line)]
    assert len(rows) == 4
    assert all(row in results for row in rows)
