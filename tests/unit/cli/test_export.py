"""The command `export`, on adapters and models of a project and of folders."""

from __future__ import annotations

import json

import pytest

from punie_build.cli import main
from punie_build.storage import paths
from tests.support.tiny_bases import write_base
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


@needs_gguf
def test_a_model_and_an_adapter_reach_ollama_and_lmstudio(tmp_path, monkeypatch, capsys):
    base = tmp_path / "base"
    write_base(base, "qwen3")
    write_adapter(tmp_path / "mine", base)
    assert run(tmp_path, monkeypatch, "mine", "--model", "base", "--to", "ollama", "--into", "o") == 0
    assert "TEMPLATE is left out" in capsys.readouterr().out
    lines = (tmp_path / "o" / "Modelfile").read_text().splitlines()
    assert [line for line in lines if line[:1] != "#"] == [
        "FROM ./mine-base.gguf",
        "ADAPTER ./mine-lora.gguf",
        'PARAMETER stop "<|im_end|>"',
    ]
    assert run(tmp_path, monkeypatch, "base", "--to", "lmstudio", "--into", "l", "--precision", "f16") == 0
    files = sorted(path.relative_to(tmp_path / "l").as_posix() for path in (tmp_path / "l").rglob("*.gguf"))
    assert files == ["punie-build/base/base.gguf"]
    assert "values were rounded to F16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--to", "gguf"), "an adapter, --to gguf is for models"),
        (("--to", "lmstudio"), "choose ollama"),
        (("--to", "peft", "--precision", "f16"), "changes no value"),
    ],
)
def test_a_format_of_models_is_refused_for_an_adapter(tmp_path, monkeypatch, capsys, words, problem):
    write_adapter(tmp_path / "mine", paths.nano(), model="nano")
    assert run(tmp_path, monkeypatch, "mine", *words, "--into", "out") == 2
    assert problem in capsys.readouterr().err


def test_a_record_of_another_program_is_not_replaced(tmp_path, monkeypatch, capsys):
    write_adapter(tmp_path / "mine", paths.nano(), model="nano")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_text('{"theirs": 1}')
    assert run(tmp_path, monkeypatch, "mine", "--to", "peft", "--into", "out") == 2
    assert "was not written by export" in capsys.readouterr().err
    assert (tmp_path / "out" / "export.json").read_text() == '{"theirs": 1}'


@pytest.mark.parametrize("form", ["peft", "gguf-lora"])
def test_a_base_is_no_adapter(tmp_path, monkeypatch, capsys, form):
    assert run(tmp_path, monkeypatch, "nano", "--to", form, "--into", "out") == 2
    assert f"no adapter, --to {form} is for adapters" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
