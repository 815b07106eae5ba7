"""The language filter on the sentences of `tests/support/sentences.py`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from punie_build.data.example import Example, Message
from punie_build.data.filters.union import Language
from tests.support.sentences import SENTENCES

FOREIGN = [(language, text) for language in SENTENCES if language != "en" for text in SENTENCES[language]]


def filtered(languages: tuple[str, ...], *texts: str) -> list[str]:
    keep = Language(languages=languages).predicate()
    return [text for text in texts if keep(Example((Message("user", text),)))]


@pytest.mark.parametrize("language", SENTENCES)
def test_no_sentence_in_an_accepted_language_is_dropped(language):
    assert filtered((language,), *SENTENCES[language]) == list(SENTENCES[language])


def test_fewer_than_one_in_twenty_foreign_sentences_pass():
    assert len(FOREIGN) == 100
    leaked = filtered(("en",), *(text for _, text in FOREIGN))
    assert len(leaked) < 0.05 * len(FOREIGN), leaked


def test_few_foreign_conversations_pass_and_all_english_ones():
    keep = Language(languages=("en",)).predicate()
    results = {
        language: [keep(Example((Message("user", a), Message("assistant", b)))) for a, b in pairwise(texts)]
        for language, texts in SENTENCES.items()
    }
    assert all(results.pop("en"))
    assert sum(map(sum, results.values())) < 0.05 * sum(map(len, results.values())), results


def test_several_languages_may_be_accepted():
    both = filtered(("de", "ja"), *(text for texts in SENTENCES.values() for text in texts))
    assert {*SENTENCES["de"], *SENTENCES["ja"]} <= {*both}
    assert not {*SENTENCES["fr"], *SENTENCES["ru"]} & {*both}


def test_a_number_in_a_text_without_spaces_does_not_hide_the_text():
    assert (
        filtered(
            ("en",), "服务器无法启动,因为端口8080已经被占用。", "最近3日間に変更されたファイルをすべて見せてください。"
        )
        == []
    )
