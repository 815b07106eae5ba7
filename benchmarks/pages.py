"""Pages: their size, and the time to draw them, with 200 cases and three arms.

    ./run python benchmarks/pages.py

Training and inference are simulated (`tests/support/sample_project.py`). Answers are as long as real ones, about 600
characters each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from punie_build.project import Project
from punie_build.reports import draw
from tests.support import sample_project

CASES = 200
WORDS = " ".join(f"word{k * k % 97}" for k in range(80))


def project(root: Path) -> None:
    """A project whose suite has 200 cases."""
    cases = "".join(
        f'[[case]]\nid = "case-{k}"\ncategory = "kind-{k % 8}"\nprompt = "Show me file-{k}.py, please"\n'
        f'checks = [{{ type = "calls", calls = [{{ name = "read_file", arguments = {{ path = "file-{k}.py" }} }}] }}]\n'
        for k in range(CASES)
    )
    (root / "many.toml").write_text(f'tools = "editor"\n{cases}')
    suite = '\n[suite.many]\nfile = "many.toml"\n'
    sample_project.build_project(
        root, sample_project.RECIPE.replace('"tool-calling"', '"many"') + sample_project.GRID + suite, prefix=WORDS
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        project(root)
        found = Project.load(root)
        draw.page(found, found.tasks[0])  # imports and templates
        print("| page | kB | ms to draw |\n|---|---|---|")
        for label in (
            "dataset:sample",
            "mix:all",
            "adapter:tuned",
            "grid:sweep",
            "eval:tuned@many",
            "comparison:tuned",
        ):
            started = time.perf_counter()
            text = draw.page(found, found.planned[label].task)
            took = time.perf_counter() - started
            print(f"| {label} | {len(text.encode()) / 1000:.0f} | {took * 1000:.0f} |")
        started = time.perf_counter()
        drawn = [*draw.refresh(found, found.tasks)]
        took = time.perf_counter() - started
        assert not drawn
        count = sum(1 for each in os.scandir(root / "reports") if each.name.endswith(".html"))
        print(
            f"| all {count} pages and cards | "
            f"{sum(p.stat().st_size for p in (root / 'reports').glob('*.html')) / 1000:.0f} | {took * 1000:.0f} |"
        )


if __name__ == "__main__":
    main()
