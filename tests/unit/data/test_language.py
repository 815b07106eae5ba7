"""The language filter on the sentences of `tests/support/sentences.py`."""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec
import pytest

from punie_build.data.example import Example, Message
from punie_build.data.filters.languages import SCRIPTS_OF, letters_by_script, model_code
from punie_build.data.filters.union import AnyFilter, Language
from tests.support.project import ROOT
from tests.support.sentences import SENTENCES

DOCS = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
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


@pytest.mark.parametrize(
    ("code", "suggested"),
    [
        ("english", "en"),
        ("EN", "en"),
        ("en-US", "en"),
        ("zh_CN", "zh"),
        ("deu", "de"),
        ("Norwegian", "no"),
        ("NB", "no"),
        ("eng", "en"),
        ("jp", "ja"),
        ("Englisch", "en"),
        ("zh-Hant", "zh"),
        ("zh-HK", "yue"),
        ("pt-BR", "pt"),
        ("sr_Latn", "sr"),
        ("may", "ms"),
        ("cym", "cy"),
        ("wel", "cy"),
        ("kat", "ka"),
        ("mya", "my"),
        ("khk", "mn"),
        ("Español", "es"),
        ("portugese", "pt"),
        ("norwegian bokmål", "no"),
        ("english, german", "en"),
        (" en", "en"),
        ("ha", ""),
        ("tir", ""),
        ("zul", ""),
        ("zz", ""),
        ("", ""),
    ],
)
def test_a_wrong_code_is_an_error_with_a_suggestion(code: str, suggested: str):
    with pytest.raises(msgspec.ValidationError, match=f"did you mean '{suggested}'" if suggested else "not an ISO 639"):
        msgspec.convert({"type": "language", "languages": [code]}, AnyFilter)


def test_a_code_without_a_likely_meaning_refers_to_the_list_in_the_docs():
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"type": "language", "languages": ["zz"]}, AnyFilter)
    assert str(error.value).startswith("'zz' is not an ISO 639 code of a language that can be recognized")
    assert "`punie-build docs recipes stage` lists the codes" in str(error.value)
    [listed] = re.findall(r"The codes of `language` are those of lid.176: (.*?)\.\n", DOCS, re.DOTALL)
    assert re.findall(r"`(\w+)`", listed) == sorted(SCRIPTS_OF)


def test_bokmal_is_norwegian():
    assert model_code("nb") == "no"
    assert filtered(("nb",), "Hvordan kan jeg finne denne filen i prosjektet mitt?")


def test_a_text_without_letters_of_the_script_is_foreign():
    keep = Language(languages=("en",)).predicate()
    bulgarian = ("Това е много добро решение за всички", "Може да се направи и по друг начин")
    mongolian = ("Энэ бол маш сайн шийдэл юм", "Тийм, би тэгж бодож байна")
    assert not any(keep(Example((Message("user", a), Message("assistant", b)))) for a, b in (bulgarian, mongolian))


def test_roles_select_the_messages_that_count():
    row = Example(
        (Message("user", "Wie kann ich diese Datei finden?"), Message("assistant", "It is in the tests folder."))
    )
    assert Language(languages=("en",), roles=("assistant",)).predicate()(row)
    assert not Language(languages=("en",), roles=("user",)).predicate()(row)


def test_an_undecided_row_is_kept_below_the_score():
    row = Example((Message("user", "Je ne sais pas quoi faire avec ce fichier, aidez-moi."),))
    assert Language(languages=("en",), min_score=1.0).predicate()(row)


def test_letters_are_counted_by_script():
    assert letters_by_script("ab, я 字 ひ 한 1") == {"latin": 2, "cyrillic": 1, "han": 1, "kana": 1, "hangul": 1}
    assert len(SCRIPTS_OF) == 176
