"""Provenance: how a target came to be, as an in-toto Statement v1 with a SLSA Provenance v1 predicate.

Made from the lock alone. It is not signed: it says what this project recorded, and whoever publishes it signs it
(docs/ci.md). A build on somebody's own machine is SLSA level 1 at most.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from punie_build import __version__
from punie_build.artifacts.graph import Task
from punie_build.storage.locks import Lock

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:punie-build:task:v1"
BUILDER = "urn:punie-build:local"
MODEL = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # what identifies a base


def statement(task: Task, lock: Lock) -> dict[str, Any]:
    """Subjects are the target's files; external parameters are its recipe; dependencies are its inputs."""
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": f"{task.target}/{name}", "digest": {"sha256": digest}} for name, digest in lock.outputs.items()
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"artifact": task.label, "recipe": lock.facts.recipe},
                "internalParameters": {"code": lock.facts.code, "tools": lock.facts.tools},
                "resolvedDependencies": [_dependency(task, *named) for named in lock.facts.inputs.items()],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"punie-build": __version__}},
                "metadata": {"invocationId": lock.key},
            },
        },
    }


def _dependency(task: Task, name: str, value: str) -> dict[str, Any]:
    """An input by its digest; a base from the Hub by its commit, in the form of a package URL.

    `dirHash` is the sha256 of a listing `sha256  name`, a line each, sorted by name; if not of the whole folder, the
    annotation says of which files. A source whose name has an ending is taken for a file.
    """
    if name == "base" and "@" in value:
        repo, _, commit = value.partition("@")
        return {"name": name, "uri": f"pkg:huggingface/{repo}@{commit}", "digest": {"gitCommit": commit}}
    if task.kind == "dataset" and PurePosixPath(name).suffix:
        return {"name": name, "digest": {"sha256": value}}
    files = MODEL if name == "base" else task.reads_in(name)
    return {"name": name, "digest": {"dirHash": value}} | ({"annotations": {"files": [*files]}} if files else {})
