"""Files of the process that checks rows: its job, and its result `findings.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.preflight.finding import PreflightFinding
from punie_build.runtime import child


class SuitePrompts(Struct, frozen=True):
    """The system prompt and the prompts of a suite that will be evaluated after the training."""

    system: str
    prompts: tuple[str, ...]


class PreflightJob(Struct, frozen=True, kw_only=True):
    """The job of the process: check the rows in the folder `data`, as the tokenizer of the folder `base` renders them.

    `name`: name of the base; `chat_template_args`: arguments of its chat template; `where`: name of the data in
    findings; `mixed`: whether a mix made the data; `pairs`: whether each row is to have two answers; `out`: output
    folder.
    """

    base: str
    name: str
    chat_template_args: dict[str, Any] = {}
    data: str
    where: str
    suites: dict[str, SuitePrompts]
    mixed: bool
    pairs: bool = False
    out: str


class RowFacts(Struct, frozen=True):
    """The numbers of rows, of turns with tool calls, and of those that the server's parser reads back unchanged."""

    rows: int
    calls: int
    read: int


class PreflightResult(Struct, frozen=True):
    """The content of `findings.json`."""

    facts: RowFacts
    findings: list[PreflightFinding]

    def write(self, folder: Path) -> None:
        """Write findings.json into a folder."""
        (folder / "findings.json").write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read(path: Path) -> PreflightResult:
    """Read a findings.json."""
    return msgspec.json.decode(path.read_bytes(), type=PreflightResult)


def run(job: PreflightJob, logs: Path) -> PreflightResult:
    """Run the process, with its job file and its log in the folder `logs`, and return its result."""
    child.run("punie_build.preflight.process", [child.job_file(logs / "job.json", job)], logs / "looking.log")
    return read(Path(job.out) / "findings.json")
