"""The model of a name, as `serve` and `eval` use it."""

from __future__ import annotations

import pytest

from punie_build.cli.evaluate import find_model, find_suite
from punie_build.cli.options import base_folder
from punie_build.errors import UseError
from punie_build.storage import paths
from tests.support.command import punie_build


def test_an_adapter_is_served_with_the_template_arguments_of_its_training(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.toml").write_text(
        "[dataset.d]\nsource = { type = 'sample' }\n[adapter.a]\nbase = 'nano'\ndata = 'd'\n"
        "chat_template_args = { enable_thinking = false }\n"
    )
    folder = tmp_path / "adapters" / "a"
    folder.mkdir(parents=True)
    for name in ("adapters.safetensors", "adapter_config.json"):
        (folder / name).write_text("{}")
    model = find_model(tmp_path, "a")
    assert (model.adapter, model.chat_template_args) == (folder, {"enable_thinking": False})
    assert find_model(tmp_path, "nano", "a").chat_template_args == {"enable_thinking": False}
    assert find_model(tmp_path, "nano").chat_template_args == {}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.toml").write_text(
        "[dataset.d]\nsource = { type = 'sample' }\n[suite.shop]\nembedded = 'baseline'\n"
        "[adapter.a]\nbase = 'nano'\ndata = 'd'\n[adapter.sweep]\nbase = 'nano'\ndata = 'd'\niters = [3, 4]\n"
    )
    for name in ("a", "sweep@1"):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        for file in ("adapters.safetensors", "adapter_config.json"):
            (folder / file).write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("word", "name"), [("a", "a"), ("adapter:a", "a"), ("sweep", "sweep@1"), ("adapter:sweep", "sweep@1")]
)
def test_a_model_is_named_with_or_without_its_kind_and_a_grid_is_its_best(project, word, name):
    assert find_model(project, word).name == name
    assert find_model(project, "base:nano", word).adapter == project / "adapters" / name


def test_suites_and_bases_are_named_with_or_without_their_kind(project):
    assert find_suite(project, "suite:shop")[0] == find_suite(project, "shop")[0] == "shop"
    assert base_folder(project, "base:nano") == base_folder(project, "nano") == paths.nano()
    assert punie_build(project, "suite", "check", "suite:shop").returncode == 0
    with pytest.raises(UseError, match="did you mean 'shop'"):
        find_suite(project, "suite:shp")


@pytest.mark.parametrize("command", ["why", "plan"])
@pytest.mark.parametrize("word", ["a", "sweep", "adapter:sweep", "sweep@1"])
def test_artifacts_are_named_with_or_without_their_kind(project, command, word):
    process = punie_build(project, command, word)
    assert (process.returncode, process.stderr) == (1, "")
