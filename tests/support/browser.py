"""Chromium for the tests of pages: headless, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AVAILABLE = bool(shutil.which("chromium") and shutil.which("chromedriver"))
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip


class Browser:
    """A Selenium driver with the few actions that the tests need."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        """Open a file. Fails if the page requests another resource or logs an error."""
        self.driver.get("about:blank")
        self.driver.get_log("performance")  # discard the browser's own requests
        self.driver.get(path.as_uri())
        self.wait_until_unpacked()
        assert self.driver.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        requests = [event["params"]["request"] for event in events if event["method"] == "Network.requestWillBeSent"]
        urls = [request["url"] for request in requests]
        assert [url for url in urls if not url.startswith(("data:", "blob:"))] == [path.as_uri()]

    def wait_until_unpacked(self) -> None:
        """Wait until the script of the page has filled all text blocks."""
        self.driver.set_script_timeout(20)
        self.driver.execute_async_script(
            "var done = arguments[0]; (function check() { "
            "var all = Array.from(document.querySelectorAll('[data-text]'));"
            " if (all.every(function (block) { return block.firstChild; })) done(); else setTimeout(check, 20); })();"
        )

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def scheme(self, name: str) -> None:
        """Set the preferred color scheme: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def width(self, pixels: int) -> None:
        """Set the width of the viewport, which may be smaller than that of a window."""
        size = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a profile folder; it ends with the context."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
