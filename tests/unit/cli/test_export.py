"""The command `export`, on adapters and models of a project and of folders."""

from __future__ import annotations

import json

import pytest

from punie_build.cli import main
from punie_build.storage import paths
from tests.unit.export.test_lora import needs_gguf, write_adapter


def run(root, monkeypatch, *words):
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as stopped:
        main.main(["export", *words])
    return stopped.value.code


@needs_gguf
def test_an_adapter_in_a_folder_is_exported_twice_and_no_other_file_is_lost(tmp_path, monkeypatch, capsys):
    write_adapter(tmp_path / "mine", paths.nano(), model="nano")
    for form, file in (("peft", "adapter_model.safetensors"), ("gguf-lora", "mine-lora.gguf")):
        words = ("mine", "--to", form, "--into", f"out/{form}")
        assert run(tmp_path, monkeypatch, *words) == run(tmp_path, monkeypatch, *words) == 0
        assert "read back" in capsys.readouterr().out
        assert file in json.loads((tmp_path / "out" / form / "export.json").read_bytes())["files"]
        (tmp_path / "out" / form / "notes.txt").write_text("mine")
        assert run(tmp_path, monkeypatch, *words) == 2
        assert "notes.txt" in capsys.readouterr().err
        assert (tmp_path / "out" / form / file).exists()


def test_the_base_of_the_hub_is_named_by_the_recipe(tmp_path, monkeypatch, capsys):
    write_adapter(tmp_path / "mine", paths.nano())
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.toml").write_text('[base.b]\npath = "base"\nbase_model = "org/original"\n')
    (tmp_path / "base").symlink_to(paths.nano())
    assert run(tmp_path, monkeypatch, "mine", "--model", "b", "--to", "peft", "--into", "out") == 0
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "org/original"


@pytest.mark.parametrize("form", ["peft", "gguf-lora"])
def test_a_base_is_no_adapter(tmp_path, monkeypatch, capsys, form):
    assert run(tmp_path, monkeypatch, "nano", "--to", form, "--into", "out") == 2
    assert f"no adapter, --to {form} is for adapters" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
