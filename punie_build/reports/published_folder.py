"""Verify a folder that `publish` wrote and a user downloaded: its signature, its lock, its recipe.

The folder may come from anyone. No code in it runs, and each file that is decoded has a bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.engine.kind import ArtifactKind, resolve
from punie_build.errors import PunieError, UseError, join_first
from punie_build.reports import model_signature
from punie_build.storage import digests, locks, paths, project_file
from punie_build.storage.locks import Lock

PROVENANCE = "provenance.json"
LOCK = "punie-build.lock.json"
GIT = (".git", ".gitattributes", ".gitignore", ".github")
BESIDE = (paths.CARD, PROVENANCE, LOCK, model_signature.SIGNATURE)  # files that `publish` adds to those of a target
RESULTS = ".eval_results"
MAX_NAMES = 5


class Verification(Struct, frozen=True):
    """Facts that hold, and problems, one line each."""

    facts: tuple[str, ...]
    problems: tuple[str, ...]


def verify(
    folder: Path, kinds: Mapping[str, ArtifactKind], key: Path | None = None, base: Path | None = None
) -> Verification:
    """Compare a published folder with its signature, its lock and the recipe in that. `key` is the public key of the
    signer, `base` the folder of the base model. Raises UseError for a folder that was not published."""
    lock = _lock(folder)
    signed, problems = _signature(folder, key)
    present = digests.of_folder(folder)
    wrong = [f"{name}: missing" for name in lock.outputs if name not in present]
    wrong += [
        f"{name}: {lock.outputs[name][:12]} was built, {digest[:12]} is here"
        for name, digest in present.items()
        if lock.outputs.get(name, digest) != digest
    ]
    facts = [signed, f"lock: key {lock.key[:12]}, {len(lock.outputs)} files as they were built"][: 1 if wrong else 2]
    problems += wrong
    problems += _provenance(folder, lock)
    if others := [name for name in _names(folder) if not _is_expected(name, lock)]:
        names = join_first(others, MAX_NAMES)
        if key and not problems:
            facts.append(f"signed, and not named by the lock: {names}")
        else:
            problems.append(f"{names}: not named by the lock - remove what is not yours")
    differences = [*_differences(folder, lock, kinds, base)] if not wrong else []
    problems += differences
    if not wrong and not differences:
        facts.append(f"conformance: the files hold what the recipe asks for{'' if base else ', without its base'}")
    return Verification(tuple(facts), tuple(problems))


def _lock(folder: Path) -> Lock:
    path = folder / LOCK
    try:
        text = project_file.read(path)
    except OSError as error:
        reason = "not there" if isinstance(error, FileNotFoundError) else error.strerror
        raise UseError(f"{path}: {reason} - only folders that `punie-build publish` wrote can be verified") from None
    if (lock := locks.decode(text)) is None:
        raise UseError(f"{path}: not a lock, or changed since it was written - do not use the folder")
    return lock


def _signature(folder: Path, key: Path | None) -> tuple[str, list[str]]:
    """Return a line on the signature, and its problems."""
    is_there = (folder / model_signature.SIGNATURE).exists()
    if key is None:
        hint = "signed, and not verified: name the public key of the signer with --key" if is_there else "none"
        return f"signature: {hint}; anyone may have written {paths.CARD}, the lock and the files", []
    if not is_there:
        return "signature: none", [f"{model_signature.SIGNATURE}: not there, so {key.name} did not sign the folder"]
    if problem := model_signature.problem(folder, key):
        return "signature: wrong", [problem]
    return f"signature: all files are as the owner of {key.name} signed them", []


def _provenance(folder: Path, lock: Lock) -> Iterator[str]:
    """Yield where the statement about the build and the lock differ."""
    try:
        statement = json.loads(project_file.read(folder / PROVENANCE))
        subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
        key = statement["predicate"]["runDetails"]["metadata"]["invocationId"]
        parameters = statement["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
    except FileNotFoundError:
        yield f"{PROVENANCE}: not there"
        return
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        yield f"{PROVENANCE}: not a statement about a build"
        return
    named = {tuple(str(name).split("/", 2)[2:]): digest for name, digest in subjects.items()}
    built = {(name,): digest for name, digest in lock.outputs.items()}
    if (named, key, parameters) != (built, lock.key, lock.key_inputs.recipe):
        yield f"{PROVENANCE}: about another build than the lock"


def _names(folder: Path) -> Iterator[str]:
    """Yield the path of each file, link or other thing in a folder, hidden ones too."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _is_expected(name: str, lock: Lock) -> bool:
    first = name.partition("/")[0]
    is_page = first == RESULTS and name.endswith((".yaml", ".yml"))
    return name in lock.outputs or name in BESIDE or is_page or first in (*GIT, *model_signature.NOT_SIGNED)


def _differences(folder: Path, lock: Lock, kinds: Mapping[str, ArtifactKind], base: Path | None) -> Iterator[str]:
    """Yield where the files are not what the recipe in the lock asks for."""
    kind = kinds.get(lock.key_inputs.kind)
    if kind is None:
        yield f"{LOCK}: unknown kind '{lock.key_inputs.kind}' - a newer punie-build may know it"
        return
    recipe = lock.key_inputs.recipe
    _, kind = kind.variant(recipe)
    spec = _spec(kind, recipe)
    if spec is None:
        yield f"{LOCK}: its recipe is none of this version of punie-build - install the version that built it"
    elif kind.verify:
        try:
            yield from resolve(kind.verify)(folder, spec, base)
        except (PunieError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            yield f"cannot be read: {error}"


def _spec(kind: ArtifactKind, recipe: Mapping[str, Any]) -> Any:
    assert kind.spec is not None, "a kind that is published is described by recipes"
    fields = {field.encode_name for field in structs.fields(kind.spec)}
    try:
        return msgspec.convert({name: value for name, value in recipe.items() if name in fields}, kind.spec)
    except (msgspec.ValidationError, RecursionError):
        return None
