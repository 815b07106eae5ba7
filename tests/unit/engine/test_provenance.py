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
from punie_build.engine.task import Task
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


def named(root: Path, label: str) -> Task:
    return Project.load(root).task(label)


def made(root: Path, label: str) -> dict:
    """The statement of what was built, through JSON as it is published."""
    task = named(root, label)
    lock = locks.read(root / paths.lock(task.target))
    assert lock
    return json.loads(json.dumps(statement(task, lock)))


def trained(root: Path, label: str) -> dict:
    """The statement of an adapter whose lock says that it was trained."""
    task = named(root, label)
    facts = msgspec.structs.replace(state.key_inputs(root, task), tools={"mlx": "0.32.4", "device": "cpu"})
    inputs = dict.fromkeys(task.inputs, "7" * 64) | ({} if task.external["base"].hub else {"base": "5" * 64})
    facts = msgspec.structs.replace(facts, inputs=facts.inputs | inputs)
    lock = Lock(key=facts.key, key_inputs=facts, outputs={"adapters.safetensors": "6" * 64}, metrics={}, seconds=1.5)
    return json.loads(json.dumps(statement(task, lock)))


def valid(said: dict) -> None:
    """What in-toto's Statement v1 and SLSA's Provenance v1 require, and no field they do not know."""
    assert set(said) == {"_type", "subject", "predicateType", "predicate"}
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["subject"]
    assert len({each["name"] for each in said["subject"]}) == len(said["subject"])
    assert all(HEX.fullmatch(each["digest"]["sha256"]) for each in said["subject"])
    assert set(said["predicate"]) == {"buildDefinition", "runDetails"}
    definition, details = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert {"buildType", "externalParameters"} <= set(definition)
    assert set(definition) <= {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert isinstance(definition["externalParameters"], dict)
    for each in definition["resolvedDependencies"]:
        assert set(each) <= {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
        assert {"uri", "digest", "content"} & set(each)
        assert set(each["digest"]) <= {"sha256", "dirHash", "gitCommit"}
        assert all(re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", value) for value in each["digest"].values())
    assert set(details) <= {"builder", "metadata", "byproducts"}
    assert set(details["builder"]) <= {"id", "version", "builderDependencies"}
    assert set(details["metadata"]) <= {"invocationId", "startedOn", "finishedOn"}
    uris = [definition["buildType"], details["builder"]["id"]]
    assert all(re.match("[a-z]+:[a-z0-9]", uri) for uri in uris)
    assert all(isinstance(version, str) for version in details["builder"]["version"].values())


@pytest.mark.parametrize("label", ["dataset:mine", "dataset:many", "stage:clean"])
def test_what_was_built_has_a_statement_whose_subjects_are_its_files(root, label):
    said = made(root, label)
    valid(said)
    folder = Project.load(root).folder(label)
    assert {each["name"] for each in said["subject"]} == {
        path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    for each in said["subject"]:
        assert hashlib.sha256((root / each["name"]).read_bytes()).hexdigest() == each["digest"]["sha256"]


def test_it_says_which_recipe_code_tools_and_inputs(root):
    definition = made(root, "stage:clean")["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["artifact"] == "stage:clean"
    assert definition["externalParameters"]["recipe"]["filters"] == [{"type": "python-version", "min": "3.10"}]
    assert set(definition["internalParameters"]["tools"]) == {"fissix", "python"}
    assert definition["internalParameters"]["code"]
    [data] = definition["resolvedDependencies"]
    assert data["name"] == "data/mine"


def test_a_file_is_known_by_its_sha256_and_a_folder_by_its_listing(root):
    """`dirHash`: sha256 over lines `sha256  name`, sorted by name, as `sha256sum * | sha256sum` has it."""
    splits, file = made(root, "dataset:mine")["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert splits["name"] == "data/mine.splits.lock"
    sha256 = hashlib.sha256((root / "raw/mine.jsonl").read_bytes()).hexdigest()
    assert file == {"name": "raw/mine.jsonl", "digest": {"sha256": sha256}}
    _, folder = made(root, "dataset:many")["predicate"]["buildDefinition"]["resolvedDependencies"]
    listing = hashlib.sha256(f"{sha256}  mine.jsonl\n".encode()).hexdigest()
    assert folder == {"name": "raw", "digest": {"dirHash": listing}}
    [data] = made(root, "stage:clean")["predicate"]["buildDefinition"]["resolvedDependencies"]
    rows = sorted(data["annotations"]["files"])
    assert rows == ["test.jsonl", "train.jsonl", "valid.jsonl"]
    lines = [f"{hashlib.sha256((root / 'data/mine' / name).read_bytes()).hexdigest()}  {name}\n" for name in rows]
    assert data["digest"]["dirHash"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_hub_base_is_a_package_url_at_its_commit_and_another_a_listing_of_its_model_files(root):
    said = trained(root, "adapter:v1")
    valid(said)
    found = {each["name"]: each for each in said["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert found["base"] == {
        "name": "base",
        "uri": f"pkg:huggingface/team/Big-Model-4bit@{COMMIT}",
        "digest": {"gitCommit": COMMIT},
    }
    assert found["data/clean@big-assistant-2048"]["annotations"] == {
        "files": ["train.safetensors", "valid.safetensors"]
    }
    said = trained(root, "adapter:v2")
    valid(said)
    [base] = [each for each in said["predicate"]["buildDefinition"]["resolvedDependencies"] if each["name"] == "base"]
    assert base["digest"] == {"dirHash": "5" * 64}
    assert "*.safetensors" in base["annotations"]["files"]


def test_the_files_it_names_of_a_base_are_those_that_identify_it(tmp_path):
    for name in ("config.json", "model.safetensors", "chat.jinja", "spm.model", "merges.txt", "README.md", "x.bin"):
        (tmp_path / name).write_text(name)
    named = sorted(path for pattern in MODEL_FILES for path in tmp_path.glob(pattern))
    listing = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in named)
    assert locate.base_digest(tmp_path.parent, Base(path=tmp_path.name)) == hashlib.sha256(listing.encode()).hexdigest()


def test_it_names_no_machine_no_folder_of_it_and_no_time(root):
    for said in (made(root, "stage:clean"), trained(root, "adapter:v1")):
        text = json.dumps(said)
        assert str(root) not in text
        assert str(Path.home()) + "/" not in text
        assert socket.gethostname() not in text
        assert not re.search(r"startedOn|finishedOn|20\d\d-\d\d|\d\d:\d\d:\d\d|seconds", text)
