"""One job by punie-build, and by the shell way: `mlx_lm.lora` and a plain script that asks and scores.

    ./run python benchmarks/peer.py                  a table in Markdown, in ten minutes on two cores

The job: filter rows, train an adapter on nano, ask base and adapter the cases of a suite, compare. It is done from
nothing, and after each of three edits: a hyperparameter, a filter, one more case. The shell way runs again what a
careful person knows to depend on the edit, and that whole; punie-build decides by itself. Both compute with OpenBLAS.
Times are CPU seconds of all processes, because they hold on a busy machine too. Not counted for the shell: that no
file says which rows, settings and weights gave a number.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.runtime import blas

ROOT = Path(__file__).parents[1]
CASES = 30
RECIPE = """
[suite.job]
file = "cases.jsonl"

[dataset.raw]
source = { type = "local", path = "raw/rows.jsonl" }
split = { valid = 0.1, test = 0.0 }

[stage.kept]
from = "raw"
filters = [{ type = "max-messages", messages = 4 }]

[adapter.job]
base = "nano"
data = "kept"
iters = 20
batch_size = 8
batching = "prefix"
learning_rate = 2e-3
lora = { rank = 16, scale = 4.0 }
steps_per_eval = 20

[comparison.job]
arms = ["nano", "job"]
suite = "job"
engine = "batch"
max_tokens = 64
"""
FILTER = """
import json, pathlib, sys
most = int(sys.argv[1])
rows = [line for line in open("raw/rows.jsonl") if len(json.loads(line)["messages"]) <= most]
folder = pathlib.Path("shell"); folder.mkdir(exist_ok=True)
(folder / "valid.jsonl").write_text("".join(rows[::10]))
(folder / "train.jsonl").write_text("".join(row for number, row in enumerate(rows) if number % 10))
"""
ASK = """
import json, sys
from mlx_lm import generate, load
settings, *cases = map(json.loads, open("cases.jsonl"))
tools = json.loads(open("raw/rows.jsonl").readline())["tools"]
model, tokenizer = load(sys.argv[1], adapter_path=sys.argv[2] if len(sys.argv) > 2 else None)
passed = 0
for case in cases:
    messages = [{"role": "system", "content": settings["system"]}, {"role": "user", "content": case["prompt"]}]
    prompt = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)
    text = generate(model, tokenizer, prompt, max_tokens=64)
    wanted = [check["calls"][0] for check in case["checks"] if "calls" in check]
    try:
        said = [json.loads(part.partition("</tool_call>")[0]) for part in text.split("<tool_call>")[1:]]
    except ValueError:
        said = ["unreadable"]
    passed += said == wanted
print(f"{passed} of {len(cases)}")
"""


class Measured(Struct, frozen=True):
    """The CPU seconds of a command or several, and what they did."""

    seconds: float
    did: str


class Job:
    """A folder with the rows, the cases and the base, in which both ways work."""

    def __init__(self, root: Path) -> None:
        self.root, self.rate, self.most, self.cases = root, "2e-3", 4, CASES
        self.environment = (
            os.environ | blas.environment(root) | {"PYTHONPATH": str(ROOT), "PUNIE_BUILD_LOCKS": str(root)}
        )
        (root / "raw").mkdir()
        rows = self.output(sys.executable, str(ROOT / "stories/rows.py"), "mixed")
        (root / "raw/rows.jsonl").write_text(rows)
        for folder in ("recipes", "models"):
            (root / folder).mkdir()
        shutil.copytree(ROOT / "models/nano", root / "models/nano")
        self.write()

    def write(self) -> None:
        """Write recipe, cases and scripts as the settings are now."""
        text = RECIPE.replace("learning_rate = 2e-3", f"learning_rate = {self.rate}")
        (self.root / "recipes/job.toml").write_text(text.replace("messages = 4", f"messages = {self.most}"))
        head, *cases = (ROOT / "stories/cases.jsonl").read_text().splitlines()
        chosen = cases[:: len(cases) // CASES][: self.cases]
        (self.root / "cases.jsonl").write_text("".join(f"{line}\n" for line in [head, *chosen]))
        (self.root / "filter.py").write_text(FILTER)
        (self.root / "ask.py").write_text(ASK)
        config = {"learning_rate": float(self.rate), "lora_parameters": {"rank": 16, "scale": 4.0, "dropout": 0.0}}
        (self.root / "lora.yaml").write_text(json.dumps(config))

    def output(self, *command: str) -> str:
        """Return what a command prints."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def measured(self, *commands: Sequence[str]) -> tuple[float, str]:
        """Return the CPU seconds of some commands with their children, and what the last one printed."""
        before, text = resource.getrusage(resource.RUSAGE_CHILDREN), ""
        for command in commands:
            text = self.output(*command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, text

    def punie(self) -> Measured:
        """Build the comparison; name the kinds that ran."""
        seconds, text = self.measured([sys.executable, "-m", "punie_build", "build", "comparison:job"])
        labels = [line.split()[1] for line in text.splitlines() if line.startswith(".  ")]
        return Measured(seconds, ", ".join(labels) or "nothing")

    def shell(self, *steps: str) -> Measured:
        """Run the named steps of the shell way."""
        train = [sys.executable, "-m", "mlx_lm", "lora", "--model", "models/nano", "--train", "--data", "shell"]
        train += ["--adapter-path", "out", "-c", "lora.yaml", "--mask-prompt", "--num-layers", "-1"]
        train += ["--iters", "20", "--batch-size", "8", "--steps-per-eval", "20", "--val-batches", "-1"]
        commands = {
            "filter": [sys.executable, "filter.py", str(self.most)],
            "train": train,
            "ask base": [sys.executable, "ask.py", "models/nano"],
            "ask adapter": [sys.executable, "ask.py", "models/nano", "out"],
        }
        seconds, text = self.measured(*(commands[step] for step in steps))
        return Measured(seconds, f"{', '.join(steps)} ({text.strip().splitlines()[-1]})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print("| edit | punie-build, CPU s | ran | shell, CPU s | ran |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder))
        whole = ("filter", "train", "ask base", "ask adapter")
        row("first build", job.punie(), job.shell(*whole))
        row("nothing", job.punie(), Measured(0.0, "nothing, if one knows that"))
        job.rate = "1e-3"
        job.write()
        row("learning rate", job.punie(), job.shell("train", "ask adapter"))
        job.most = 3
        job.write()
        row("a filter, which drops no other row", job.punie(), job.shell("filter", "train", "ask adapter"))
        job.cases += 1
        job.write()
        row("one more case", job.punie(), job.shell("ask base", "ask adapter"))
        job.rate = "2e-3"
        job.write()
        row("the learning rate, back", job.punie(), job.shell("train", "ask adapter"))


def row(edit: str, ours: Measured, shell: Measured) -> None:
    print(f"| {edit} | {ours.seconds:.1f} | {ours.did} | {shell.seconds:.1f} | {shell.did} |", flush=True)


if __name__ == "__main__":
    main()
