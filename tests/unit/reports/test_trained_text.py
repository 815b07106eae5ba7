"""The first rows of a token file as text, with the border of the prompt, the trained text, and the end marks."""

from __future__ import annotations

import json

import pytest

from punie_build.models.encoded_text import encode
from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer
from punie_build.reports import trained_text
from punie_build.reports.html import TextBlocks
from punie_build.storage import paths
from punie_build.training.token_file import TokenWriter
from punie_build.training.tokenization import TokenizedRow


def write(folder, *texts: list[dict]) -> None:
    """Write tokens of conversations as nano reads them, whose last turn is trained."""
    tokenizer, writer = load_tokenizer(paths.nano()), TokenWriter()
    for line, messages in enumerate(texts, start=7):
        [text] = ChatTemplate(tokenizer).render(messages).texts
        encoded, turn = encode(tokenizer, text), text.turns[-1]
        mask = [turn.start <= first < turn.end for first, _ in encoded.offsets]
        writer.add(line, TokenizedRow(encoded.ids, [int(flag) for flag in mask]))
    writer.save(folder / "train.safetensors")


def conversation(question: str, answer: str) -> list[dict]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_a_row_is_divided_at_the_border_of_the_prompt_and_at_the_end_mark(tmp_path):
    write(tmp_path, conversation("Hi <b>", "Grüße, 東京."), *[conversation("a", "b")] * 4)
    rows = trained_text.trained_rows(tmp_path, paths.nano())
    assert [row.line for row in rows] == [7, 8, 9]
    read, trained, end, rest = rows[0].parts
    assert read[0] == ""
    assert read[1].endswith("Hi <b><|im_end|>\n<|im_start|>assistant\n")
    assert (trained, end, rest) == (("ins", "Grüße, 東京."), ("mark", "<|im_end|>"), ("", "\n"))
    assert 0 < rows[0].trained < rows[0].tokens
    markup = str(TextBlocks(packing=False).text_block(rows[0].parts))
    assert "Hi &lt;b&gt;" in markup
    assert "<mark>&lt;|im_end|&gt;</mark>" in markup


def test_a_long_prompt_is_shortened_before_what_is_trained(tmp_path):
    write(tmp_path, conversation("word " * 900, "yes " * 400))
    [row] = trained_text.trained_rows(tmp_path, paths.nano())
    assert "more characters" in row.parts[0][1]
    assert row.parts[0][1].endswith("<|im_start|>assistant\n")
    assert row.parts[1] == ("ins", "yes " * 400)


def test_keys_of_services_are_replaced(tmp_path):
    key = "ghp_" + "a1B2" * 9
    write(tmp_path, conversation(f"My key is {key}.", f"It is {key}."))
    [row] = trained_text.trained_rows(tmp_path, paths.nano())
    assert key not in json.dumps(row.parts)


@pytest.mark.parametrize("tokenizer", [None, "", "{", "[]"])
def test_tokens_without_a_readable_tokenizer_have_no_text(tmp_path, tokenizer):
    write(tmp_path, conversation("a", "b"))
    base = tmp_path / "base"
    base.mkdir()
    if tokenizer is not None:
        (base / "tokenizer.json").write_text(tokenizer)
    assert trained_text.trained_rows(tmp_path, base) == ()
    assert trained_text.trained_rows(tmp_path, None) == ()
