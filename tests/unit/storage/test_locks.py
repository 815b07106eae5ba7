from __future__ import annotations

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
    (tmp_path / "s.lock.json").mkdir()
    with pytest.raises(OSError, match=r"Is a directory|exist"):
        locks.write(tmp_path / "s.lock.json", lock_of({}))
    assert [file.name for file in tmp_path.iterdir()] == ["s.lock.json"]


def test_present_locks_are_sorted_and_listed_once(tmp_path):
    for name in ("data/b.lock.json", "data/a.lock.json", "data/a.txt", "models/c.lock.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in locks.present(tmp_path, ["data", "models", "data"])]
    assert names == ["data/a.lock.json", "data/b.lock.json", "models/c.lock.json"]
