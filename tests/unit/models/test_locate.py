from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.models.locate import base_digest, gaps
from punie_build.models.spec import Base
from punie_build.storage import paths
from punie_build.testing.fake_hub import COMMIT, FakeHub

LOCATE = """\
import sys
from pathlib import Path
from punie_build.models.locate import locate
from punie_build.models.spec import Base
try:
    print(locate(Path(), Base(hub="me/nano", revision=sys.argv[1])))
except Exception as error:
    print(type(error).__name__, error)
"""


def locate(hub: str, home: Path, revision: str = COMMIT) -> str:
    env = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOCATE, revision], capture_output=True, text=True, env=env, timeout=100
    )
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path) -> Path:
    return Path(shutil.copytree(paths.nano(), tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.slow
def test_a_hub_base_is_downloaded_once_at_its_commit_without_its_code(repo, tmp_path):
    with FakeHub({"me/nano": repo}) as hub:
        folder = Path(locate(hub.url, tmp_path / "home"))
        assert folder.name == COMMIT
        assert (folder / "model.safetensors").read_bytes() == (repo / "model.safetensors").read_bytes()
        assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= {path.name for path in folder.iterdir()}
        assert not list(folder.glob("*.py"))  # its code is not downloaded
        count = len(hub.requests)
        assert count > 3
        assert Path(locate(hub.url, tmp_path / "home")) == folder
        assert len(hub.requests) == count


@pytest.mark.slow
def test_an_interrupted_download_resumes_where_it_stopped(repo, tmp_path):
    size = (repo / "model.safetensors").stat().st_size
    shutil.copy(repo / "model.safetensors", repo / "consolidated.safetensors")  # the same weights a second time
    with FakeHub({"me/nano": repo}) as hub:
        hub.max_bytes = size // 2
        assert locate(hub.url, tmp_path / "home").startswith(f"ModelError me/nano@{COMMIT}: cannot be downloaded")
        sent, hub.max_bytes = hub.bytes_sent, 2**62
        assert sent > size // 3
        folder = Path(locate(hub.url, tmp_path / "home"))
        assert (folder / "model.safetensors").read_bytes() == (repo / "model.safetensors").read_bytes()
        assert hub.bytes_sent < 1.2 * size
        assert not (folder / "consolidated.safetensors").exists()


@pytest.mark.slow
def test_a_file_that_is_not_the_one_of_the_listing_is_refused(repo, tmp_path):
    with FakeHub({"me/nano": repo}) as hub:
        hub.corrupts = True
        output = locate(hub.url, tmp_path / "home")
        assert "model.safetensors: its sha256 is" in output
        assert "the listing of the Hub says" in output
        assert output.startswith("ModelError me/nano@")


@pytest.mark.slow
def test_what_a_cache_lacks_is_downloaded(repo, tmp_path):
    """A shard, or all weights: a program that only asked for the tokenizer leaves such a snapshot."""
    snapshot = tmp_path / "home/hub/models--me--nano/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(repo / name, snapshot / name)
    with FakeHub({"me/nano": repo}) as hub:
        assert Path(locate(hub.url, tmp_path / "home")).name == COMMIT
        assert (snapshot / "model.safetensors").stat().st_size == (repo / "model.safetensors").stat().st_size


def index(folder: Path, **files: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


def write_shard(path: Path, name: str, bytes_missing: int = 0) -> None:
    header = json.dumps({name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16 - bytes_missing))


def test_a_base_is_compared_with_its_index_and_the_headers_of_its_files(tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    [problem] = gaps(tmp_path)
    assert "model*.safetensors missing" in problem
    write_shard(tmp_path / "model-1.safetensors", "a")
    assert gaps(tmp_path) == []
    index(tmp_path, a="model-1.safetensors", b="model-2.safetensors")
    [problem] = gaps(tmp_path)
    assert problem.startswith("1 of 2 weight files missing (model-2.safetensors)")
    write_shard(tmp_path / "model-2.safetensors", "b", bytes_missing=1)
    [problem] = gaps(tmp_path)
    assert problem.startswith("model-2.safetensors: not a whole safetensors file")
    write_shard(tmp_path / "model-2.safetensors", "c")
    [problem] = gaps(tmp_path)
    assert problem.startswith("1 tensors of model.safetensors.index.json are in no file (b)")
    (tmp_path / "model-2.safetensors").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n"
    )
    [problem] = gaps(tmp_path)
    assert "run `git lfs pull`" in problem
    index(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert len(gaps(tmp_path)) == 2


DAMAGE = {
    "config.json: Expected `object`": lambda folder: (folder / "config.json").write_text("[]"),
    "config.json: JSON is malformed": lambda folder: (folder / "config.json").write_bytes(b"\xef\xbb\xbf{}"),
    "config.json: quantization: expected an object": lambda folder: (folder / "config.json").write_text(
        '{"quantization": "4bit"}'
    ),
    "config.json: quantization: Expected `int | null`, got `str` - at `$.bits`": lambda folder: (
        folder / "config.json"
    ).write_text('{"quantization": {"bits": "4", "group_size": null}}'),
    "config.json: model_type: Expected `str | null`, got `int`": lambda folder: (folder / "config.json").write_text(
        '{"model_type": 1}'
    ),
    "tokenizer.json: Input data was truncated": lambda folder: (folder / "tokenizer.json").write_text("{"),
    "tokenizer_config.json: ": lambda folder: (folder / "tokenizer_config.json").write_text("null"),
    "chat_template.jinja: 'utf-8' codec": lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xe9"),
    "tokenizer.json: a Git LFS pointer": lambda folder: (folder / "tokenizer.json").write_text(POINTER),
    "generation_config.json: a link": lambda folder: (folder / "generation_config.json").symlink_to("gone"),
    "model-2.safetensors: a link": lambda folder: (folder / "model-2.safetensors").symlink_to("gone"),
    "model-2.safetensors: Is a directory": lambda folder: (folder / "model-2.safetensors").mkdir(),
    "2 of 3 weight files missing (model-00001-of-00003.safetensors, model-00003-of-00003": lambda folder: write_shard(
        folder / "model-00002-of-00003.safetensors", "b"
    ),
}
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n"


@pytest.mark.parametrize("start", DAMAGE)
def test_each_file_of_a_base_that_cannot_be_read_is_named(tmp_path, start):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    write_shard(tmp_path / "model-1.safetensors", "a")
    assert gaps(tmp_path) == []
    DAMAGE[start](tmp_path)
    [problem] = gaps(tmp_path)
    assert problem.startswith(start)
    assert " - " in problem


@pytest.mark.slow
def test_a_commit_that_does_not_exist_is_reported(repo, tmp_path):
    with FakeHub({"me/nano": repo}) as hub:
        output = locate(hub.url, tmp_path / "home", "f" * 40)
        assert output.startswith("ModelError me/nano@ffff")
        assert "check the name, the revision and the network" in output
        assert "part of it" not in output
        (tmp_path / "home/hub/models--me--nano/snapshots" / ("f" * 40)).mkdir(parents=True)
        assert "downloaded, and only a part of it is in the cache (" in locate(hub.url, tmp_path / "home", "f" * 40)


def test_the_digest_of_a_base_is_its_commit_or_that_of_its_files(repo, tmp_path):
    assert base_digest(tmp_path, Base(hub="me/nano", revision=COMMIT)) == f"me/nano@{COMMIT}"
    before = base_digest(tmp_path, Base(path="repo"))
    assert before == base_digest(tmp_path, Base(embedded="nano"))
    (repo / "README.md").write_text("other words")
    assert base_digest(tmp_path, Base(path="repo")) == before
    (repo / "chat_template.jinja").write_text("other")
    assert base_digest(tmp_path, Base(path="repo")) != before
    assert base_digest(tmp_path, Base(path="nowhere")) == "absent"
