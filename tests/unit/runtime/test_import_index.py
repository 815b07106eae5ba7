from __future__ import annotations

import os
import subprocess
import sys

import pytest

from punie_build.runtime import import_index

INDEX = {frozenset(): {"models.toy": {"Toy"}}, frozenset({"torch"}): {"models.toy.torch": {"TorchToy"}}}
COMPARE = """
import sys
from punie_build.runtime import import_index
import_index.install()
from transformers import AutoTokenizer
from transformers.utils import import_utils
folder = import_utils.__file__.replace("utils/import_utils.py", "models")
computed = import_utils.create_import_structure_from_path(folder)
assert import_utils.define_import_structure(folder) == import_utils.spread_import_structure(computed)
assert import_utils.define_import_structure.__module__ == import_index.__name__
"""


@pytest.fixture
def library(tmp_path):
    """A library with one folder of models, and a function that counts its calls."""
    (tmp_path / "models").mkdir()
    (tmp_path / "import_utils.py").write_text("")
    calls = []

    def compute(path, prefix=None):
        calls.append(path)
        return INDEX

    return tmp_path, calls, import_index.saved(compute, tmp_path / "import_utils.py", tmp_path / "cache")


def test_a_second_process_reads_the_index_that_the_first_computed(library):
    root, calls, index = library
    assert [index(root / "models", "models") for _ in range(2)] == [INDEX, INDEX]
    assert index(str(root / "models" / "__init__.py"), "models") == INDEX
    assert len(calls) == 1


@pytest.mark.parametrize("changed", ["models", "import_utils.py"])
def test_another_version_of_the_library_computes_it_again(library, changed):
    root, calls, index = library
    index(root / "models")
    os.utime(root / changed, ns=(1, 1))
    index(root / "models")
    assert len(calls) == 2
    assert len([*(root / "cache").iterdir()]) == 1, "the file of the former version is replaced"


def test_the_index_of_another_folder_is_not_saved(library):
    root, calls, index = library
    assert [index(root / "models" / "auto") for _ in range(2)] == [INDEX, INDEX]
    assert len(calls) == 2
    assert not (root / "cache").exists()


@pytest.mark.parametrize("damage", [lambda text: text[:20], lambda _: b"", lambda _: b'["x"]', lambda _: b"\xff"])
def test_a_damaged_file_is_computed_again_and_replaced(library, damage):
    root, calls, index = library
    index(root / "models")
    [saved] = (root / "cache").iterdir()
    before = saved.read_bytes()
    saved.write_bytes(damage(before))
    assert index(root / "models") == INDEX
    assert len(calls) == 2
    assert saved.read_bytes() == before


def test_a_cache_folder_that_cannot_be_written_is_no_error(library):
    root, calls, index = library
    (root / "cache").write_text("a file")
    assert index(root / "models") == index(root / "models") == INDEX
    assert len(calls) == 2


@pytest.mark.slow
def test_the_saved_index_is_the_one_that_the_library_computes(tmp_path):
    for _ in range(2):
        variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", COMPARE], check=True, env=variables, capture_output=True)
    assert {path.suffix for path in (tmp_path / "punie-build").iterdir()} == {".json"}
