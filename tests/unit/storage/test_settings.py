from __future__ import annotations

import socket
import threading

import pytest

from punie_build.cli.store import allow, push
from punie_build.engine import build, plan
from punie_build.errors import RecipeError, UseError
from punie_build.storage import remote, settings
from tests.support.checkouts import Step, build_chain, chain, checkout
from tests.support.text_tasks import with_step


def test_without_settings_there_is_no_shared_store(tmp_path):
    assert remote.of_project(tmp_path) is None
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert remote.of_project(tmp_path / "project") is None


def test_the_environment_overrides_the_file_and_empty_means_no_store(tmp_path, monkeypatch):
    root = checkout(tmp_path / "one", f"file://{tmp_path}/file")
    assert remote.of_project(root).url == f"file://{tmp_path}/file"
    monkeypatch.setenv("PUNIE_BUILD_STORE", f"file://{tmp_path}/environment")
    assert remote.of_project(root).url == f"file://{tmp_path}/environment"
    assert build_chain(root) == ["ran"] * 3
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "environment/blobs").exists()
    monkeypatch.setenv("PUNIE_BUILD_STORE", "")
    assert remote.of_project(root) is None


def test_projects_with_different_options_do_not_share_a_connection(tmp_path):
    one = checkout(tmp_path / "one", "s3://punie", "http://127.0.0.1:1")
    two = checkout(tmp_path / "two", "s3://punie", "http://127.0.0.1:2")
    assert remote.of_project(one) is remote.of_project(one)
    assert remote.of_project(one) is not remote.of_project(two)


def test_options_override_the_default_timeouts(tmp_path):
    defaults = remote.DEFAULT_OPTIONS["s3"]["config_kwargs"]
    options = remote._with_defaults("s3", {"anon": True, "config_kwargs": {"read_timeout": 900, "s3": {"x": 1}}})
    assert options == {"anon": True, "config_kwargs": {**defaults, "read_timeout": 900, "s3": {"x": 1}}}
    assert remote._with_defaults("file", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[tool.punie-build]\nstroe = "s3://x/y"', ["tool.punie-build.stroe: unknown key - did you mean 'store'?"]),
        (
            "[tool.punie-build]\nstore = 3\nstore_option = {}",
            [
                "tool.punie-build.store_option: unknown key - did you mean 'store_options'?",
                "tool.punie-build.store: expected 'str | null', got 'int'",
            ],
        ),
        (
            '[tool.punie-build]\nstore = "bucket"',
            ["tool.punie-build.store: 'bucket' is not a URL - write it as s3://bucket/folder or file:///folder"],
        ),
        ("[tool]\npunie-build = 3", ["tool.punie-build: expected 'object', got 'int'"]),
        ("[tool.punie-build\n", None),
    ],
)
def test_all_mistakes_of_the_settings_are_reported_at_once(tmp_path, text, lines):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        settings.load(tmp_path)
    if lines is None:
        assert str(caught.value).startswith("pyproject.toml: not TOML (")
    else:
        assert sorted(caught.value.problems) == sorted(f"pyproject.toml: {line}" for line in lines)


def test_a_mistake_in_the_environment_is_reported_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("PUNIE_BUILD_STORE", "bucket")
    with pytest.raises(RecipeError, match=r"^PUNIE_BUILD_STORE: 'bucket' is not a URL - write it as"):
        remote.of_project(tmp_path)


def test_no_step_runs_if_the_settings_have_mistakes(tmp_path):
    root = checkout(tmp_path / "one", "bucket")
    step = Step()
    with pytest.raises(RecipeError, match="is not a URL"):
        build.build(root, with_step(chain()[0], step))
    assert step.tasks == []


@pytest.fixture
def own_config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config/punie-build/stores.toml"


class Listener:
    """A server that counts connections, and closes each of them at once."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            self.connections += 1
            connection.close()


def test_a_store_that_only_the_repository_names_is_never_contacted(tmp_path, own_config, monkeypatch):
    listener = Listener()
    root = tmp_path / "clone"
    (root / "data/in").mkdir(parents=True)
    (root / ".punie").mkdir()
    (root / "data/in/train.jsonl").write_text("zero\n")
    text = f'[tool.punie-build]\nstore = "{listener.address}/punie"\n'
    (root / "pyproject.toml").write_text(text)
    plan.plan(root, chain())
    assert build_chain(root) == ["ran"] * 3
    assert remote.of_project(root) is None
    assert listener.connections == 0
    assert "punie-build store allow" in settings.not_allowed(root)
    with pytest.raises(UseError, match="you have not allowed it - `punie-build store allow`"):
        push(root, None)
    assert allow(root, None) == 0
    assert settings.not_allowed(root) is None
    plan.plan(root, [with_step(chain()[0], Step(), version=2)])
    assert listener.connections > 0


def test_a_store_is_allowed_with_its_options_and_no_others(tmp_path, own_config, monkeypatch):
    options = settings.Settings(store="s3://punie", store_options={"endpoint_url": 'http://a"b\\c'})
    others = (
        settings.Settings(store="s3://punie"),
        settings.Settings(store="s3://punie", store_options={"endpoint_url": "http://evil.example"}),
    )
    assert settings.allow(options) == own_config
    assert settings.is_allowed(options)
    assert not any(settings.is_allowed(other) for other in others)
    settings.allow(others[0])
    assert settings.is_allowed(options)
    assert settings.is_allowed(others[0])
    monkeypatch.setenv("PUNIE_BUILD_STORE", "s3://mine")
    assert settings.is_allowed(settings.Settings(store="s3://mine"))
    assert not settings.is_allowed(settings.Settings(store="s3://mine", store_options={"endpoint_url": "http://evil"}))


@pytest.mark.parametrize("text", ["allowed = 3", "allowed = [3]", "allowed = [", "[" * 5000])
def test_a_mistake_in_the_users_file_is_reported(tmp_path, own_config, text):
    own_config.parent.mkdir(parents=True)
    own_config.write_text(text)
    with pytest.raises(RecipeError, match=r"stores\.toml: "):
        settings.is_allowed(settings.Settings(store="s3://punie"))


def test_an_executor_of_the_environment_needs_no_permission_but_the_right_form(tmp_path, own_config, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.punie-build]\nexecutor = "dask://10.0.0.5:8786"\n')
    assert settings.executor(tmp_path) == "local"
    assert "executor dask://10.0.0.5:8786: not used" in settings.not_allowed(tmp_path)
    settings.allow(settings.load(tmp_path))
    assert settings.executor(tmp_path) == "dask://10.0.0.5:8786"
    assert settings.not_allowed(tmp_path) is None
    monkeypatch.setenv("PUNIE_BUILD_EXECUTOR", "dask://127.0.0.1:1")
    assert settings.executor(tmp_path) == "dask://127.0.0.1:1"
    settings.give(tmp_path, settings.Settings(executor="dask://10.0.0.5:8786"))
    assert settings.executor(tmp_path) == "local", "a worker sends no task on"
    settings.give(tmp_path, None)
    for text, expected in (("", "local"), ("local", "local")):
        monkeypatch.setenv("PUNIE_BUILD_EXECUTOR", text)
        assert settings.executor(tmp_path) == expected
    monkeypatch.setenv("PUNIE_BUILD_EXECUTOR", "ssh:/x")
    with pytest.raises(
        RecipeError,
        match="PUNIE_BUILD_EXECUTOR: 'ssh:/x' is no executor - write it as dask://HOST:PORT, ssh://HOST,HOST or local",
    ):
        settings.executor(tmp_path)


SSH = """
[tool.punie-build]
executor = "ssh://mac1,me@mac2:2222"
executor_options = { python = "/opt/venv/bin/python", resources = { METAL = 1 } }
"""


def test_an_executor_is_allowed_with_its_options_and_no_others(tmp_path, own_config, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root, text in ((ours, SSH), (theirs, SSH.replace("/opt/venv", "/tmp/evil"))):
        root.mkdir()
        (root / "pyproject.toml").write_text(text)
        assert settings.executor(root) == "local"
    settings.allow(settings.load(ours))
    assert settings.executor(ours) == "ssh://mac1,me@mac2:2222"
    assert settings.executor_options(ours).python == "/opt/venv/bin/python"
    assert settings.executor(theirs) == "local"
    monkeypatch.setenv("PUNIE_BUILD_EXECUTOR", "ssh://mac1,me@mac2:2222")
    assert settings.executor(theirs) == "ssh://mac1,me@mac2:2222"
    assert settings.executor_options(theirs) == settings.ExecutorOptions(), "not those of the repository"


@pytest.mark.parametrize("url", ["ssh://", "ssh://a,", "ssh://-oProxyCommand=x", "ssh://a/b", "ssh://a, b", "ssh:a"])
def test_an_executor_of_another_form_is_a_mistake(tmp_path, url):
    (tmp_path / "pyproject.toml").write_text(f'[tool.punie-build]\nexecutor = "{url}"\n')
    with pytest.raises(RecipeError, match=r"tool\.punie-build\.executor"):
        settings.load(tmp_path)
