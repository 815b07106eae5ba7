from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.storage import locks
from punie_build.storage.locks import KeyInputs, Lock

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.from_regex(r"\A[a-z]{1,8}(/[a-z]{1,8}){0,2}\Z")
NUMBERS = st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False, width=32)


def lock_of(outputs: dict[str, str], metrics: dict[str, float] | None = None, **recipe: object) -> Lock:
    inputs = KeyInputs(kind="stage", recipe=recipe, code="c", inputs={}, tools={})
    return Lock(key=inputs.key, key_inputs=inputs, outputs=outputs, metrics=metrics or {}, seconds=1.5)


@given(st.dictionaries(NAMES, DIGESTS, min_size=1), st.dictionaries(NAMES, NUMBERS), st.text())
def test_an_encoded_lock_is_decoded_to_the_same_lock(outputs, metrics, text):
    lock = lock_of(outputs, metrics, text=text)
    assert locks.decode(locks.encode(lock)) == lock
    assert locks.encode(lock).endswith(b"}\n")


@given(st.binary(max_size=50))
def test_bytes_that_are_not_a_lock_are_no_lock(content):
    assert locks.decode(content) is None


def test_a_lock_is_replaced_and_read_back(tmp_path):
    path = tmp_path / "s.lock.json"
    assert locks.read(path) is None
    for number in (1, 2):
        locks.write(path, lock_of({"a": "0" * 64}, n=number))
        assert locks.read(path) == lock_of({"a": "0" * 64}, n=number)
    assert [file.name for file in tmp_path.iterdir()] == ["s.lock.json"]


def test_a_lock_that_cannot_be_written_leaves_no_temporary_file(tmp_path):
    (tmp_path / "s.lock.json/mine").mkdir(parents=True)
    with pytest.raises(OSError, match=r"Is a directory|exist"):
        locks.write(tmp_path / "s.lock.json", lock_of({}))
    assert [file.name for file in tmp_path.iterdir()] == ["s.lock.json"]


def test_present_locks_are_sorted_and_listed_once(tmp_path):
    for name in ("data/b.lock.json", "data/a.lock.json", "data/a.txt", "models/c.lock.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in locks.present(tmp_path, ["data", "models", "data"])]
    assert names == ["data/a.lock.json", "data/b.lock.json", "models/c.lock.json"]


@given(st.dictionaries(NAMES, DIGESTS, min_size=1), st.dictionaries(NAMES, NUMBERS), st.data())
def test_a_lock_of_which_a_character_differs_is_none_or_the_same_lock(outputs, metrics, data):
    lock = lock_of(outputs, metrics, text="text")
    text = locks.encode(lock)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]
    assert locks.decode(changed) in (None, lock)


def test_a_lock_may_be_laid_out_by_others_and_have_no_digest_but_not_another_one():
    lock = lock_of({"a": "0" * 64}, {"rows": 60.0}, digest="a recipe may have this key")
    text = locks.encode(lock)
    values = json.loads(text)
    compact = json.dumps(values).encode()
    without = json.dumps({name: value for name, value in values.items() if name != "digest"}).encode()
    for same in (text.replace(b"\n", b"\r\n"), compact, without, json.dumps({**values, "digest": ""}).encode()):
        assert locks.decode(same) == lock
    for other in (text, compact):
        assert locks.decode(other.replace(b"60.0", b"5000.0")) is None
    assert locks.decode(without.replace(b"60.0", b"5000.0")) is not None
