"""Provenance: how a target was built, as an in-toto Statement v1 with a SLSA Provenance v1 predicate.

It is made from the lock alone and not signed: it states what this project recorded, and whoever publishes it signs it
(docs/ci.md). A build on a personal machine is SLSA level 1 at most."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from punie_build import __version__
from punie_build.engine.task import AnyTask
from punie_build.storage.locks import Lock

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:punie-build:task:v1"
BUILDER = "urn:punie-build:local"


def statement(task: AnyTask, lock: Lock) -> dict[str, Any]:
    """Return the statement: subjects are the files of the target, parameters its recipe, dependencies its inputs."""
    inputs = lock.key_inputs
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": f"{task.target}/{name}", "digest": {"sha256": digest}} for name, digest in lock.outputs.items()
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"artifact": task.label, "recipe": inputs.recipe},
                "internalParameters": {"code": inputs.code, "tools": inputs.tools},
                "resolvedDependencies": [_dependency(task, *item) for item in inputs.inputs.items()],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"punie-build": __version__}},
                "metadata": {"invocationId": lock.key},
            },
        },
    }


def _dependency(task: AnyTask, name: str, identity: str) -> dict[str, Any]:
    """Return an input by its digest.

    `dirHash` is the sha256 of a listing `sha256  name`, a line for each file, sorted by name; the annotation names the
    files, if it is not the whole folder. An input that no artifact is and whose name has an ending counts as a file.
    """
    if name in task.external:
        return task.external[name].dependency(name, identity)
    if not task.needs and PurePosixPath(name).suffix:
        return {"name": name, "digest": {"sha256": identity}}
    files = task.files_read(name)
    return {"name": name, "digest": {"dirHash": identity}} | ({"annotations": {"files": [*files]}} if files else {})
