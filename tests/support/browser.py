"""The browser of the tests: Debian's Chromium, headless, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

THERE = bool(shutil.which("chromium") and shutil.which("chromedriver"))
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip


class Browser:
    """A driver, and what the tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        """Open a file; nothing but the file may be asked for, and nothing may be complained of."""
        self.driver.get("about:blank")
        self.driver.get_log("performance")  # what the browser asks for itself
        self.driver.get(path.as_uri())
        self.ready()
        assert self.driver.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]

    def ready(self) -> None:
        """Wait until what is packed is unpacked."""
        self.driver.set_script_timeout(20)
        self.driver.execute_async_script(
            "var done = arguments[0]; (function look() { "
            "var all = Array.from(document.querySelectorAll('[data-text]'));"
            " if (all.every(function (each) { return each.firstChild; })) done(); else setTimeout(look, 20); })();"
        )

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def scheme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def width(self, pixels: int) -> None:
        """Of a phone, or of a screen: not limited by what a window may be."""
        size = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
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
