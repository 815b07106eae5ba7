from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.models.locate import base_digest
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
def test_a_commit_that_does_not_exist_is_reported(repo, tmp_path):
    with FakeHub({"me/nano": repo}) as hub:
        output = locate(hub.url, tmp_path / "home", "f" * 40)
    assert output.startswith("ModelError me/nano@ffff")
    assert "check the name, the revision and the network" in output


def test_the_digest_of_a_base_is_its_commit_or_that_of_its_files(repo, tmp_path):
    assert base_digest(tmp_path, Base(hub="me/nano", revision=COMMIT)) == f"me/nano@{COMMIT}"
    before = base_digest(tmp_path, Base(path="repo"))
    assert before == base_digest(tmp_path, Base(embedded="nano"))
    (repo / "README.md").write_text("other words")
    assert base_digest(tmp_path, Base(path="repo")) == before
    (repo / "chat_template.jinja").write_text("other")
    assert base_digest(tmp_path, Base(path="repo")) != before
    assert base_digest(tmp_path, Base(path="nowhere")) == "absent"
