"""The cache of parsed recipe files: equal values, every edit seen, damage without effect."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from punie_build.recipes.table_cache import TableCache

TEXT = '[a.b]\nrate = 1.0\ncount = 1\nnames = ["x", "\\u00e9"]\nlimit = inf\nyes = true\n'


def parsed_twice(root, text: str):
    """Return the tables of a file as they are parsed, and as the cache gives them to the next run."""
    path = root / "r.toml"
    path.write_text(text)
    (root / ".punie").mkdir(exist_ok=True)
    first = TableCache(root)
    tables = first.parse(path)
    first.write()
    return tables, TableCache(root).parse(path)


def test_a_cached_file_has_the_values_and_types_of_the_parsed_one(tmp_path):
    tables, cached = parsed_twice(tmp_path, TEXT)
    assert repr(tables) == repr(cached)
    assert len(TableCache(tmp_path).known) == 1


def test_a_project_that_was_never_built_gets_no_folder(tmp_path):
    (tmp_path / "r.toml").write_text(TEXT)
    cache = TableCache(tmp_path)
    cache.parse(tmp_path / "r.toml")
    cache.write()
    assert not (tmp_path / ".punie").exists()


@pytest.mark.parametrize("value", ["1979-05-27", "07:32:00", "99999999999999999999999"])
def test_values_that_the_cache_cannot_hold_are_parsed_each_time(tmp_path, value):
    tables, cached = parsed_twice(tmp_path, f"[a.b]\nvalue = {value}\n")
    assert repr(tables) == repr(cached)
    assert isinstance(cached["a"]["b"]["value"], dt.date | dt.time | int)
    assert TableCache(tmp_path).known == {}


def test_an_edit_of_equal_size_and_time_is_seen(tmp_path):
    path = tmp_path / "r.toml"
    parsed_twice(tmp_path, TEXT)
    stat = path.stat()
    path.write_text(TEXT.replace("1.0", "2.0"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert TableCache(tmp_path).parse(path)["a"]["b"]["rate"] == 2.0


def test_every_flipped_byte_of_the_cache_empties_it(tmp_path):
    parsed_twice(tmp_path, TEXT)
    file = TableCache(tmp_path).path
    content = file.read_bytes()
    for index in range(len(content)):
        file.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
        assert TableCache(tmp_path).known == {}
    file.write_bytes(content[: len(content) // 2])
    assert TableCache(tmp_path).known == {}
