"""Checkouts of one project that share a store, and the three text tasks that they build."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import boto3

from punie_build.engine import build, state
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.errors import RecipeError
from punie_build.storage import settings
from tests.support.text_tasks import text_task, with_step

BUCKET = "punie"
WORDS = ("one", "two", "three")


class Bucket:
    """The content of the bucket, read without fsspec."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = boto3.client("s3", endpoint_url=address)

    def names(self) -> list[str]:
        entries = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(entry["Key"] for entry in entries)

    def blobs(self) -> list[str]:
        return [name for name in self.names() if "blobs/" in name]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)


def checkout(root: Path, url: str, address: str | None = None) -> Path:
    """Write a project that uses a shared store, and allow the store. Return its root."""
    (root / "data/in").mkdir(parents=True)
    (root / "data/in/train.jsonl").write_text("zero\n")
    options = f'store_options = {{ endpoint_url = "{address}" }}\n' if address else ""
    (root / "pyproject.toml").write_text(f'[tool.punie-build]\nstore = "{url}"\n{options}')
    with suppress(RecipeError):  # a test of mistakes in the settings
        settings.allow(settings.load(root))
    return root


def chain() -> list[Task]:
    """Return three tasks, each of which reads the target of the one before."""
    folders = ["data/in", *(f"data/{word}" for word in WORDS)]
    return [text_task(word, inputs=(folder,), word=word) for word, folder in zip(WORDS, folders, strict=False)]


class Step:
    """A step that adds its name to the text that it reads, and records the tasks that ran."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def __call__(self, work: Work) -> StepResult:
        self.tasks.append(work.task.name)
        text = (work.root / work.task.inputs[0] / "train.jsonl").read_text()
        (work.out / "train.jsonl").write_text(f"{text}{work.task.name}\n")
        (work.out / "empty").touch()
        return StepResult("built", {"rows": text.count("\n") + 1})


def build_chain(root: Path) -> list[str]:
    """Build the chain. Return the actions, after a check that the result is current and right."""
    step = Step()
    actions = [build.build(root, with_step(task, step)).action for task in chain()]
    assert all(state.state(root, task) == "current" for task in chain())
    assert (root / "data/three/train.jsonl").read_text() == "zero\none\ntwo\nthree\n"
    return actions


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def warnings(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "shared store" in line]
