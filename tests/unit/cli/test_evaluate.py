"""The model of a name, as `serve` and `eval` use it."""

from __future__ import annotations

from punie_build.cli.evaluate import find_model


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
