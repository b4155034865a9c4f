"""The report's page in a real browser: no error, no request, nothing wider than the screen, on phone and desktop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from glcic.params import validate
from glcic.report.write import write_report
from support import browser, fake_report
from support.project import default_tree

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebDriver, str]]:
    """A browser, and the address of the page of a report with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    fake_report.write(folder / "reports", images=110)
    write_report(folder / "reports", validate(default_tree(), Path("params.yaml")))
    with browser.opened(folder / "profile", (1280, 900), {}) as opened:
        yield opened, (folder / "reports" / "index.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_opens_whole(page: tuple[WebDriver, str], width: int, scheme: str) -> None:
    opened, address = page
    browser.show(opened, address, width, scheme)
    assert opened.get_log("browser") == []  # errors and warnings, of the policy that forbids requests as well
    asked = browser.requests(opened)  # among them the browser's own chrome://, and the page's pictures, data:
    assert [url for url in asked if url.startswith(("http", "ws", "file"))] == [address]
    assert opened.execute_script("return innerWidth") == width
    assert opened.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pictures = opened.find_elements(By.TAG_NAME, "img")
    assert len(pictures) == 1 + 3 * len(fake_report.DRAWN)
    assert all(opened.execute_script("return arguments[0].naturalWidth", picture) for picture in pictures)
    # What is folded opens by a click, and has its contents.
    folded = opened.find_element(By.CSS_SELECTOR, "details:not([open])")
    hidden = folded.find_element(By.CSS_SELECTOR, "table")
    assert not hidden.is_displayed()
    browser.click(opened, folded.find_element(By.TAG_NAME, "summary"))
    assert hidden.is_displayed()


def test_schemes_differ(page: tuple[WebDriver, str]) -> None:
    opened, address = page
    script = "return getComputedStyle(document.body).backgroundColor"
    colors = []
    for scheme in ("light", "dark"):
        browser.show(opened, address, 1280, scheme)
        colors.append(opened.execute_script(script))
    assert colors[0] != colors[1]
