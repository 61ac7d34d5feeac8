"""Chromium without a screen, for pages that this project writes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from metis_provision.lab.process import ProcessRecord
from metis_provision.lab.requirements import missing_browser_requirements

# A page that cannot be shown is to fail the test, not to be waited for; Chromium's own calls home are switched off.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Browser:
    """One window of Chromium."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1200, height: int = 900, **features: str) -> None:
        """Show a file at a size of window; ``features`` are media features such as prefers-color-scheme."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened, blocked ones included."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What the page's console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def start_chromium() -> Iterator[Chrome]:
    """A browser that is gone at the end."""
    options = ChromeOptions()
    for flag in _FLAGS:
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def chromium(guard: ProcessRecord) -> Iterator[Chrome]:
    """One browser for the session; skips where there is none, and fails there in CI."""
    if missing := missing_browser_requirements():
        reason = "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(f"the browser tier cannot run here: {reason}")
        pytest.skip(reason)
    with start_chromium() as driver:
        yield driver


@pytest.fixture
def browser(chromium: Chrome) -> Browser:
    """The browser, with nothing of an earlier test in it."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    return Browser(chromium)
