"""Published folders after a download: whole, changed, forged, signed or hostile."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine import provenance
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import Task
from punie_build.errors import UseError
from punie_build.reports import model_signature, published_folder
from punie_build.reports.published_folder import verify
from punie_build.schema.spec import Spec
from punie_build.storage import digests, locks
from punie_build.storage.locks import KeyInputs, Lock


class Poem(Spec, frozen=True, kw_only=True):
    lines: int
    gates: tuple[str, ...] = ()


def differences(folder, spec, base):
    count = len((folder / "poem.txt").read_text().splitlines())
    if count != spec.lines:
        yield f"lines: recipe {spec.lines}, file {count}"
    if base:
        yield f"base {base.name}"


POEM = ArtifactKind(name="poem", spec=Poem, folder="poems", verify=differences)
KINDS = {"poem": POEM}


def published(folder: Path, lines: int = 2) -> Path:
    """Write a folder as `publish` does, and return it."""
    (folder / "deep").mkdir(parents=True)
    (folder / "poem.txt").write_text("one\ntwo\n")
    (folder / "deep/notes.json").write_text("{}")
    inputs = KeyInputs(kind="poem", recipe={"lines": lines, "cases": 4}, code="version 1", inputs={}, tools={})
    lock = Lock(key=inputs.key, key_inputs=inputs, outputs=digests.of_folder(folder), seconds=1.0)
    statement = provenance.statement(Task(kind=POEM, name="p", spec=Poem(lines=lines)), lock)
    (folder / published_folder.PROVENANCE).write_text(json.dumps(statement))
    locks.write(folder / published_folder.LOCK, lock)
    (folder / "README.md").write_text("# card")
    return folder


def test_a_published_folder_is_what_was_built(tmp_path):
    result = verify(published(tmp_path / "p"), KINDS)
    assert result.problems == ()
    assert [line.partition(":")[0] for line in result.facts] == ["signature", "lock", "conformance"]
    assert "anyone may have written" in result.facts[0]


def edit_lock(folder, **changes):
    lock = locks.read(folder / published_folder.LOCK)
    locks.write(folder / published_folder.LOCK, structs.replace(lock, **changes))


CHANGES = {
    "another content": (lambda f: (f / "poem.txt").write_text("one\nzwo\n"), "poem.txt: "),
    "a file less": (lambda f: (f / "deep/notes.json").unlink(), "deep/notes.json: missing"),
    "a file more": (lambda f: (f / "modeling.py").write_text(""), "modeling.py: not named by the lock"),
    "a hidden file more": (lambda f: (f / ".evil.py").write_text(""), ".evil.py: not named by the lock"),
    "a link more": (lambda f: (f / "more").symlink_to("/etc"), "more: not named by the lock"),
    "a pipe more": (lambda f: os.mkfifo(f / "more"), "more: not named by the lock"),
    "no statement": (lambda f: (f / published_folder.PROVENANCE).unlink(), "provenance.json: not there"),
    "a deep statement": (
        lambda f: (f / published_folder.PROVENANCE).write_text("[" * 100_000),
        "provenance.json: not a statement",
    ),
    "a statement of numbers": (
        lambda f: (f / published_folder.PROVENANCE).write_text('{"subject": [3]}'),
        "provenance.json: not a statement",
    ),
    "a lock of other files": (
        lambda f: edit_lock(f, outputs={"poem.txt": digests.of_file(f / "poem.txt")}),
        "provenance.json: about another build",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_of_a_published_folder_is_named(tmp_path, name):
    change, message = CHANGES[name]
    folder = published(tmp_path / "p")
    change(folder)
    assert [line for line in verify(folder, KINDS).problems if line.startswith(message)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not there - only folders that `punie-build publish` wrote"),
        (b"{", "not a lock, or changed"),
        (b"[" * 100_000, "not a lock, or changed"),
        ("pipe", "a device or a pipe"),
        ("folder", "Is a directory"),
    ],
)
def test_a_folder_without_a_lock_is_no_published_one(tmp_path, content, message):
    folder = published(tmp_path / "p")
    lock = folder / published_folder.LOCK
    lock.unlink()
    if content == "pipe":
        os.mkfifo(lock)
    elif content == "folder":
        lock.mkdir()
    elif content:
        lock.write_bytes(content)
    with pytest.raises(UseError, match=message):
        verify(folder, KINDS)


def test_files_are_held_against_the_recipe_and_the_base(tmp_path):
    folder = published(tmp_path / "p", lines=3)
    assert verify(folder, KINDS, base=tmp_path / "nano").problems == ("lines: recipe 3, file 2", "base nano")
    assert verify(folder, {}).problems == (
        "punie-build.lock.json: unknown kind 'poem' - a newer punie-build may know it",
    )


def test_what_git_and_the_hub_put_beside_the_files_is_no_problem(tmp_path):
    folder = published(tmp_path / "p")
    for name in (".gitattributes", ".git/config", ".cache/huggingface/download/x.metadata", ".eval_results/few.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    assert verify(folder, KINDS).problems == ()


def test_a_signature_that_is_required_and_not_there_is_a_problem(tmp_path):
    result = verify(published(tmp_path / "p"), KINDS, key=tmp_path / "key.pub")
    assert result.problems == ("model.sig: not there, so key.pub did not sign the folder",)


def test_without_the_package_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(UseError, match=r"pip install 'punie-build\[signed\]'"):
        model_signature.sign(published(tmp_path / "p"), tmp_path / "key.pem")


@pytest.fixture
def keys(tmp_path) -> dict[str, tuple[Path, Path]]:
    """Return the files of private and public keys."""
    pytest.importorskip("model_signing.signing", reason="needs the extra `signed`")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    written = {}
    for name in ("ours", "theirs"):
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        written[name] = private, public
    return written


def test_a_signature_covers_each_file_of_the_folder(tmp_path, keys):
    folder = published(tmp_path / "p")
    (folder / "chart.png").write_bytes(b"signed too")
    model_signature.sign(folder, keys["ours"][0])
    (folder / ".gitattributes").write_text("the Hub writes it")
    (folder / ".cache/huggingface").mkdir(parents=True)
    (folder / ".cache/huggingface/x.metadata").write_text("")
    result = verify(folder, KINDS, key=keys["ours"][1])
    assert result.problems == ()
    assert result.facts[0] == "signature: all files are as the owner of ours.pub signed them"
    assert "signed, and not named by the lock: chart.png" in result.facts
    assert "not verified" in verify(folder, KINDS).facts[0]
    assert verify(folder, KINDS).problems == ("chart.png: not named by the lock - remove what is not yours",)
    assert verify(folder, KINDS, key=keys["theirs"][1]).problems[0].startswith("model.sig: not a signature of these")
    for change in (
        lambda f: (f / "README.md").write_text("# forged"),
        lambda f: (f / "more.py").write_text(""),
        lambda f: (f / model_signature.SIGNATURE).write_text("{"),
        lambda f: (f / model_signature.SIGNATURE).write_text("[" * 100_000),
    ):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        assert verify(copy, KINDS, key=keys["ours"][1]).problems[0].startswith("model.sig: not a signature of these")


def test_files_that_are_no_keys_are_named(tmp_path, keys):
    folder = published(tmp_path / "p")
    with pytest.raises(UseError, match="cannot sign"):
        model_signature.sign(folder, keys["ours"][1])
    with pytest.raises(UseError, match="cannot sign"):
        model_signature.sign(folder, tmp_path / "nowhere")
    model_signature.sign(folder, keys["ours"][0])
    with pytest.raises(UseError, match="no public key"):
        verify(folder, KINDS, key=keys["ours"][0])
