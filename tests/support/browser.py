"""MLflow's UI as a person meets it: `make ui` in a project's folder, opened in headless Chromium.

MLflow keeps a person's choices (the assistant closed, the columns of the table) in the browser's local storage,
so that a test or a picture can begin with them made.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from support.servers import free_port, serving

MAKEFILE = Path(__file__).parents[2] / "Makefile"
ASSISTANT_CLOSED = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", "mlflow.assistant.panelOpen_v1": "false"}

_WAIT_SECONDS = 60
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root without it, as CI does
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers give 64 MB there
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A mouse, which a headless browser lacks: charts then show their tools only under it.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)

T = TypeVar("T")


def missing() -> str | None:
    """Why no browser can be opened here, or None."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)} (Debian: chromium, chromium-driver)" if lacking else None


@contextlib.contextmanager
def served(folder: Path, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Serve the store in a project's folder as `make ui` does; gives the address that `make ui` prints."""
    port = free_port()
    # -o: the tests run in an environment that is set up.
    command = ["make", "--no-print-directory", "-f", str(MAKEFILE), "-o", "setup", "ui", f"PORT={port}"]
    with serving(command, folder, f"http://127.0.0.1:{port}/health", log, environment):
        yield next(word for word in log.read_text().split() if word.startswith(f"http://127.0.0.1:{port}/"))


@contextlib.contextmanager
def opened(profile: Path, size: tuple[int, int], storage: Mapping[str, str]) -> Iterator[WebDriver]:
    """Open Chromium with a profile of its own, whose every page finds these values in its local storage."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "WARNING"})
    for flag in (*_FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    with mock.patch.dict(os.environ, no_proxy="localhost,127.0.0.1"):  # where Selenium meets the driver
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        # Only what is not there yet: what happens on a page afterwards stays.
        source = f"""for (const [key, value] of Object.entries({json.dumps(dict(storage))}))
            if (location.protocol === "http:" && localStorage.getItem(key) === null) localStorage.setItem(key, value)"""
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
        yield browser
    finally:
        browser.quit()


def wait(browser: WebDriver, condition: Callable[[], T], what: str) -> T:
    """Wait until a condition holds; elements that come and go meanwhile do no harm."""
    ignored = (NoSuchElementException, StaleElementReferenceException)
    waiting = WebDriverWait(browser, _WAIT_SECONDS, 0.1, ignored_exceptions=ignored)
    return waiting.until(lambda _: condition(), f"waited in vain for {what}")


def go(browser: WebDriver, address: str) -> None:
    """Open an address anew, even one that differs from the present one only after its #."""
    browser.get("about:blank")
    browser.get(address)


def show(browser: WebDriver, address: str, width: int, scheme: str) -> None:
    """Open an address on a screen of this width (a phone's below 600 pixels), in the light or dark color scheme."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    go(browser, address)


def click_button(browser: WebDriver, text: str) -> None:
    """Click the enabled button that shows this text."""

    def button() -> WebElement | None:
        found = browser.find_elements(By.XPATH, f"//button[normalize-space()='{text}']")
        return next((one for one in found if one.is_displayed() and one.is_enabled()), None)

    click(browser, wait(browser, button, f"the button {text}"))


def click(browser: WebDriver, element: WebElement | None) -> None:
    """Scroll to an element and click it."""
    assert element is not None
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def table_rows(browser: WebDriver, ids: Iterable[str]) -> dict[str, WebElement]:
    """The rows of the runs table that are in sight, by run id, once these runs are among them."""
    wanted = set(ids)

    def rows() -> dict[str, WebElement] | None:
        # The grid has three containers side by side; this one holds check box and name.
        found = browser.find_elements(By.CSS_SELECTOR, ".ag-pinned-left-cols-container [role=row][row-id]")
        by_id = {str(row.get_attribute("row-id")): row for row in found}
        return by_id if wanted <= set(by_id) else None

    return wait(browser, rows, "the runs table") or {}


def compare(browser: WebDriver, rows: Iterable[WebElement]) -> None:
    """Tick these rows of the runs table and press Compare; ends on the compare page."""
    for row in rows:
        row.find_element(By.CSS_SELECTOR, ".ag-selection-checkbox input").click()
    click_button(browser, "Compare")
    wait(browser, lambda: parameter_rows(browser), "the compare page")


def parameter_rows(browser: WebDriver) -> dict[str, list[str]]:
    """What the compare page's tables of parameters and tags show: a name and one value per run."""
    script = """return Array.from(document.querySelectorAll(".mlflow-compare-table tr"), row =>
        [row.querySelector("th")?.textContent, Array.from(row.querySelectorAll("td"), cell => cell.textContent)])"""
    return {name: values for name, values in browser.execute_script(script) if name}


def show_differences(browser: WebDriver, section: str) -> None:
    """Switch one section of the compare page (Parameters, Metrics, Tags) to what differs."""
    switch = browser.find_element(By.CSS_SELECTOR, f"button[role=switch][aria-label='{section} - Show diff only']")
    click(browser, switch)
    wait(browser, lambda: switch.get_attribute("aria-checked") == "true", f"{section} to show differences")


def scroll_to_metric(browser: WebDriver, name: str) -> list[str]:
    """Scroll the compare page's metrics, of which only those in sight exist, to one; gives its value per run."""
    script = """
        const [names, values] = document.querySelectorAll(".ReactVirtualized__Grid");
        const link = Array.from(names.querySelectorAll("a")).find(a => a.textContent === arguments[0]);
        if (link === undefined) {
            const end = values.scrollTop + values.clientHeight >= values.scrollHeight;
            values.scrollTop = end ? 0 : values.scrollTop + values.clientHeight / 2;
            return null;
        }
        const top = link.parentElement.style.top;
        const end = values.scrollHeight - values.clientHeight;
        const wanted = Math.max(0, Math.min(Math.round(parseFloat(top)) - 100, end));
        if (Math.abs(values.scrollTop - wanted) > 1 || Math.abs(names.scrollTop - wanted) > 1) {
            values.scrollTop = values.scrollTop === wanted ? wanted + 1 : wanted;  // names are one event behind
            return null;
        }
        names.scrollIntoView({block: "center"});
        const cells = Array.from(values.querySelectorAll("[style]")).filter(e => e.style.top === top && e.style.left);
        return cells.map(e => [parseFloat(e.style.left), e.textContent]).sort((a, b) => a[0] - b[0]).map(e => e[1]);"""
    return list(wait(browser, lambda: browser.execute_script(script, name), f"the metric {name}"))


def plot_metric(browser: WebDriver, name: str) -> set[str]:
    """Open the chart behind a metric's name on the compare page; gives the curves that differ, as drawn."""
    scroll_to_metric(browser, name)
    browser.find_element(By.XPATH, f"//a[@title='Plot chart'][normalize-space()='{name}']").click()
    script = """return Array.from(document.querySelectorAll(".scatterlayer .trace path.js-line"),
        curve => curve.getAttribute("d"))"""
    return set(wait(browser, lambda: browser.execute_script(script), f"the chart of {name}"))


def requests(browser: WebDriver) -> list[str]:
    """What pages have asked for since the browser was opened, or since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def strange_requests(browser: WebDriver) -> list[str]:
    """What pages have asked for from other machines, likewise."""
    asked = requests(browser)
    return [url for url in asked if urlsplit(url).hostname != "127.0.0.1" and url.startswith(("http", "ws"))]


def search_runs(folder: Path, experiment: str) -> tuple[str, list[Any]]:
    """The experiment's id and its runs, newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None, f"no experiment {experiment}"
    return found.experiment_id, list(client.search_runs([found.experiment_id]))
