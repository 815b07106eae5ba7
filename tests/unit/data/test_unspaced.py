"""Scripts without blanks between words, wherever words are counted or compared."""

from __future__ import annotations

import random

import pytest

from punie_build.data.example import Example, Message
from punie_build.data.filters.union import Decontaminate, ExactDedup, FilterContext, NearDedup, Repetition
from punie_build.data.minhash import near_duplicate_pairs
from punie_build.data.shingles import is_unspaced, normalize, words
from punie_build.data.split import Split, assign

LETTERS = {
    "zh": "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学",
    "ja": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん日本語文書",
    "th": "กขคงจชซญดตถทธนบปผพฟภมยรลวศสหอาิีุู",
    "lo": "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ",
    "km": "កខគឃងចឆជឈញដឋឌឍណតថទធនបផពភមយរលវសហឡអ",
    "my": "ကခဂဃငစဆဇဈညဋဌဍဎဏတထဒဓနပဖဗဘမယရလဝသဟဠအ",
}


def text(language: str, seed: int, size: int = 80) -> str:
    return "".join(random.Random(f"{language}{seed}").choices(LETTERS[language], k=size))


def changed(original: str, seed: int) -> str:
    position = random.Random(seed).randrange(len(original))
    return f"{original[:position]}{original[position - 1]}{original[position + 1 :]}"


def chat(user: str, assistant: str) -> Example:
    return Example((Message("user", user), Message("assistant", assistant)))


@pytest.mark.parametrize("language", LETTERS)
def test_near_twins_are_found_and_pairs_below_the_threshold_are_not(language: str):
    originals = [text(language, number) for number in range(40)]
    texts = originals + [changed(original, number) for number, original in enumerate(originals)]
    pairs = near_duplicate_pairs([words(text) for text in texts])
    assert {(i, j) for i, j, _ in pairs} >= {(number, number + 40) for number in range(40)}
    assert all(j == i + 40 for i, j, _ in pairs)


def test_the_second_of_two_chinese_answers_with_another_word_is_dropped():
    answer = "北京是中国的首都，历史悠久，有许多名胜古迹，比如故宫、长城和颐和园，每年吸引大量游客前来参观。" * 3
    rows = [chat("介绍一下北京", answer), chat("介绍一下北京", answer.replace("颐和园", "天坛园"))]
    assert list(NearDedup().drops(rows, FilterContext())) == [1]
    assert len(set(assign(lambda: rows, Split(valid=0.5, group_by=("near-dup",))))) == 1


@pytest.mark.parametrize("language", LETTERS)
def test_a_prompt_of_a_suite_within_a_longer_text_is_found(language: str):
    prompt = text(language, 1, 20)
    rows = [chat(f"{text(language, 2, 9)}{prompt}{text(language, 3, 9)}", "x"), chat(text(language, 4), "x")]
    assert list(Decontaminate(suites=("s",)).drops(rows, FilterContext({"s": (prompt,)}))) == [0]


@pytest.mark.parametrize(
    "answer",
    [
        "好的我知道了" * 20,
        "ครับผมรู้แล้ว" * 20,
        "a" * 4000,
        "ab" * 300,
        "はい、わかりました。" * 30,
        "我们今天去公园散步然后回家吃饭看书睡觉明天再来" * 20,
        "วันนี้เราไปเดินเล่นที่สวน" * 20,
        "ဒီနေ့ပန်းခြံသွားတယ်" * 30,
        "ថ្ងៃនេះយើងទៅសួន" * 20,
        "😀" * 300,
        "a\u200b" * 500,
    ],
)
def test_repeated_characters_are_dropped(answer: str):
    assert not Repetition().keep(chat("x", answer))


@pytest.mark.parametrize(
    "answer",
    [
        text("zh", 1, 400),
        text("th", 1, 400),
        "第一步很简单。" * 3 + text("zh", 1, 120),
        f"{'-' * 300}\n" + " ".join(map(str, range(60))),
    ],
)
def test_texts_without_repetition_are_kept(answer: str):
    assert Repetition().keep(chat("x", answer))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("السلام عليكم ورحمة الله", "الســلام عليكم ورحمة الله"),
        ("می‌روم به خانه امروز", "میروم به خانه امروز"),
        ("Donau\u00addampfschiff heute", "Donaudampfschiff heute"),
        ("one\u200b two\ufeff three", "one two three"),
        ("e\u0301 e\u200c\u0301", "\u00e9 \u00e9"),
        ("\ufe71 a", "\u064b a"),
    ],
)
def test_texts_that_differ_in_invisible_characters_are_equal(one: str, other: str):
    assert normalize(one) == normalize(other) == normalize(normalize(one))
    assert list(ExactDedup().drops([chat("q", one), chat("q", other)], FilterContext())) == [1]


def test_words_of_other_scripts_are_what_blanks_separate():
    assert words("Hello,  World naïve 한국어 문장") == "hello, world naïve 한국어 문장"
    assert words("GPT4是，模型 x") == "gpt4 是 , 模 型 x"
    assert is_unspaced(words("这是一个模型 GPT"))
    assert not is_unspaced(words("the word 漢字 naïve"))
