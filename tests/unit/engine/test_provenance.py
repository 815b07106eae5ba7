"""The statement that says how an artifact was made has the shape others ask for, and says what is on disk."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from pathlib import Path

import msgspec
import pytest

from punie_build.engine import build, state
from punie_build.engine.provenance import statement
from punie_build.models import locate
from punie_build.models.spec import MODEL_FILES, Base
from punie_build.project import Project
from punie_build.storage import locks, paths
from punie_build.storage.locks import Lock

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECIPE = f"""
[base.big]
hub = "team/Big-Model-4bit"
revision = "{COMMIT}"

[base.own]
path = "models/own"

[dataset.mine]
source = {{ type = "local", path = "raw/mine.jsonl" }}

[dataset.many]
source = {{ type = "local", path = "raw" }}

[stage.clean]
from = "mine"
filters = [{{ type = "python-version" }}]

[adapter.v1]
base = "big"
data = "clean"

[adapter.v2]
base = "own"
data = "clean"
"""
ROW = '{"messages": [{"role": "user", "content": "Say %d"}, {"role": "assistant", "content": "It is %d."}]}\n'
HEX = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("built")
    (root / "recipes").mkdir()
    (root / "recipes" / "all.toml").write_text(RECIPE)
    (root / "raw").mkdir()
    (root / "raw" / "mine.jsonl").write_text("".join(ROW % (n, n) for n in range(40)))
    for task in Project.load(root).tasks:
        if "data" in task.kind.roles:
            build.build(root, task)
    return root


def built(root: Path, label: str) -> dict:
    """Return the statement of a built artifact, through JSON as it is published."""
    task = Project.load(root).task(label)
    lock = locks.read(root / paths.lock(task.target))
    assert lock
    return json.loads(json.dumps(statement(task, lock)))


def trained(root: Path, label: str) -> dict:
    """Return the statement of an adapter, with a lock as if it was trained."""
    task = Project.load(root).task(label)
    key_inputs = msgspec.structs.replace(state.key_inputs(root, task), tools={"mlx": "0.32.4", "device": "cpu"})
    inputs = dict.fromkeys(task.inputs, "7" * 64) | ({} if task.external["base"].hub else {"base": "5" * 64})
    key_inputs = msgspec.structs.replace(key_inputs, inputs=key_inputs.inputs | inputs)
    lock = Lock(
        key=key_inputs.key, key_inputs=key_inputs, outputs={"adapters.safetensors": "6" * 64}, metrics={}, seconds=1.5
    )
    return json.loads(json.dumps(statement(task, lock)))


def assert_valid(document: dict) -> None:
    """Assert that it has the fields that in-toto Statement v1 and SLSA Provenance v1 require, and no unknown fields."""
    assert set(document) == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"]
    assert len({item["name"] for item in document["subject"]}) == len(document["subject"])
    assert all(HEX.fullmatch(item["digest"]["sha256"]) for item in document["subject"])
    assert set(document["predicate"]) == {"buildDefinition", "runDetails"}
    definition, details = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
    assert {"buildType", "externalParameters"} <= set(definition)
    assert set(definition) <= {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert isinstance(definition["externalParameters"], dict)
    for item in definition["resolvedDependencies"]:
        assert set(item) <= {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
        assert {"uri", "digest", "content"} & set(item)
        assert set(item["digest"]) <= {"sha256", "dirHash", "gitCommit"}
        assert all(re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", value) for value in item["digest"].values())
    assert set(details) <= {"builder", "metadata", "byproducts"}
    assert set(details["builder"]) <= {"id", "version", "builderDependencies"}
    assert set(details["metadata"]) <= {"invocationId", "startedOn", "finishedOn"}
    uris = [definition["buildType"], details["builder"]["id"]]
    assert all(re.match("[a-z]+:[a-z0-9]", uri) for uri in uris)
    assert all(isinstance(version, str) for version in details["builder"]["version"].values())


@pytest.mark.parametrize("label", ["dataset:mine", "dataset:many", "stage:clean"])
def test_the_subjects_of_a_statement_are_the_files_of_the_artifact(root, label):
    document = built(root, label)
    assert_valid(document)
    folder = Project.load(root).folder(label)
    assert {item["name"] for item in document["subject"]} == {
        path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    for item in document["subject"]:
        assert hashlib.sha256((root / item["name"]).read_bytes()).hexdigest() == item["digest"]["sha256"]


def test_a_statement_has_the_recipe_the_code_the_tools_and_the_inputs(root):
    definition = built(root, "stage:clean")["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["artifact"] == "stage:clean"
    assert definition["externalParameters"]["recipe"]["filters"] == [{"type": "python-version", "min": "3.10"}]
    assert set(definition["internalParameters"]["tools"]) == {"fissix", "python"}
    assert definition["internalParameters"]["code"]
    [data] = definition["resolvedDependencies"]
    assert data["name"] == "data/mine"


def test_a_file_is_identified_by_its_sha256_and_a_folder_by_its_listing(root):
    """The `dirHash` is the sha256 of lines `sha256  name`, sorted by name, as from `sha256sum * | sha256sum`."""
    splits, file = built(root, "dataset:mine")["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert splits["name"] == "data/mine.splits.lock"
    sha256 = hashlib.sha256((root / "raw/mine.jsonl").read_bytes()).hexdigest()
    assert file == {"name": "raw/mine.jsonl", "digest": {"sha256": sha256}}
    _, folder = built(root, "dataset:many")["predicate"]["buildDefinition"]["resolvedDependencies"]
    listing = hashlib.sha256(f"{sha256}  mine.jsonl\n".encode()).hexdigest()
    assert folder == {"name": "raw", "digest": {"dirHash": listing}}
    [data] = built(root, "stage:clean")["predicate"]["buildDefinition"]["resolvedDependencies"]
    rows = sorted(data["annotations"]["files"])
    assert rows == ["held-out.txt", "test.jsonl", "train.jsonl", "valid.jsonl"]
    lines = [f"{hashlib.sha256((root / 'data/mine' / name).read_bytes()).hexdigest()}  {name}\n" for name in rows]
    assert data["digest"]["dirHash"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_hub_base_is_a_package_url_and_a_local_base_a_listing(root):
    document = trained(root, "adapter:v1")
    assert_valid(document)
    dependencies = {item["name"]: item for item in document["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert dependencies["base"] == {
        "name": "base",
        "uri": f"pkg:huggingface/team/Big-Model-4bit@{COMMIT}",
        "digest": {"gitCommit": COMMIT},
    }
    assert dependencies["data/clean@big-assistant-2048"]["annotations"] == {
        "files": ["train.safetensors", "valid.safetensors"]
    }
    document = trained(root, "adapter:v2")
    assert_valid(document)
    [base] = [
        item for item in document["predicate"]["buildDefinition"]["resolvedDependencies"] if item["name"] == "base"
    ]
    assert base["digest"] == {"dirHash": "5" * 64}
    assert "*.safetensors" in base["annotations"]["files"]


def test_the_files_that_a_statement_names_of_a_base_are_those_that_identify_it(tmp_path):
    for name in ("config.json", "model.safetensors", "chat.jinja", "spm.model", "merges.txt", "README.md", "x.bin"):
        (tmp_path / name).write_text(name)
    files = sorted(path for pattern in MODEL_FILES for path in tmp_path.glob(pattern))
    listing = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    assert locate.base_digest(tmp_path.parent, Base(path=tmp_path.name)) == hashlib.sha256(listing.encode()).hexdigest()


def test_a_statement_has_no_host_no_path_of_the_machine_and_no_time(root):
    for document in (built(root, "stage:clean"), trained(root, "adapter:v1")):
        text = json.dumps(document)
        assert str(root) not in text
        assert str(Path.home()) + "/" not in text
        assert socket.gethostname() not in text
        assert not re.search(r"startedOn|finishedOn|20\d\d-\d\d|\d\d:\d\d:\d\d|seconds", text)
