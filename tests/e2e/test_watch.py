"""`punie-build watch` as a process: an edit in a file, the page in a browser, the build that ends with its parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.browser import AVAILABLE, browser
from tests.support.project import create, edit

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[stage.clean]
from = "sample"
filters = [{ type = "ends-with-assistant" }]
"""
SLOW = """
[dataset.slow]
source = { type = "command", argv = ["sleep", "300"] }
"""
WAIT_SECONDS = 60.0


class Watch:
    """A running `punie-build watch` of a project, and what it printed."""

    def __init__(self, root: Path) -> None:
        self.log = root / ".punie-watch.txt"
        command = [sys.executable, "-m", "punie_build", "watch", "--port", "0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=root, stdout=log, stderr=subprocess.STDOUT)

    @property
    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        wait(lambda: re.search(pattern, self.text))
        match = re.search(pattern, self.text)
        assert match, self.text
        return match


def wait(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail after a minute."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def start() -> Iterator[Callable[[Path], Watch]]:
    running = []

    def begin(root: Path) -> Watch:
        running.append(Watch(root))
        return running[-1]

    yield begin
    for watch in running:
        watch.process.kill()
        watch.process.wait()


def processes_in(root: Path) -> list[int]:
    """Return the processes whose working folder is the root or lies in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if Path(folder).is_relative_to(root):
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not AVAILABLE, reason="Chromium is not installed")
@pytest.mark.filterwarnings("ignore")
def test_an_edit_refreshes_the_page_and_a_mistake_is_shown(tmp_path, start):
    root = create(tmp_path / "project", RECIPE)
    watch = start(root)
    url = watch.wait_for(r"http://127\.0\.0\.1:\d+/")[0]
    with browser(tmp_path / "profile") as chromium:
        driver = chromium.driver

        def text(name: str) -> str:
            return str(driver.execute_script("return document.getElementById(arguments[0]).textContent", name))

        def page() -> str:
            return str(driver.execute_script("return document.getElementById('page').contentDocument.body.innerText"))

        driver.get(f"{url}#stage-clean.html")
        wait(lambda: text("state") == "up to date")
        wait(lambda: "ends-with-assistant" in page())
        driver.get_log("browser")  # of pages that were not drawn yet when the browser came
        edit(root, "ends-with-assistant", "content-quality")
        wait(lambda: "content-quality" in page())
        assert driver.current_url == f"{url}#stage-clean.html"
        assert "clean" in driver.title
        edit(root, "content-quality", "content-qualty")
        wait(lambda: "did you mean 'content-quality'?" in text("problem"))
        wait(lambda: text("state") == "not built")
        edit(root, "content-qualty", "content-quality")
        wait(lambda: text("state") == "up to date")
        assert not text("problem")
        assert driver.get_log("browser") == []
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(WAIT_SECONDS) == 0
        wait(lambda: "has ended" in text("state"))
    assert watch.text.splitlines()[-1].startswith("ended: finished artifacts are kept")
    assert "Traceback" not in watch.text


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_running_build_ends_with_the_watch(tmp_path, start, number):
    root = create(tmp_path / "project", SLOW)
    watch = start(root)
    watch.wait_for(r"\.  dataset:slow")
    assert len(processes_in(root)) > 2
    watch.process.send_signal(number)
    watch.process.wait(WAIT_SECONDS)
    wait(lambda: processes_in(root) == [])
