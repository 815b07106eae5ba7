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


def test_other_folders_and_damaged_files_are_computed(library):
    root, calls, index = library
    index(root / "models" / "auto")
    index(root / "models")
    [saved] = (root / "cache").iterdir()
    saved.write_bytes(saved.read_bytes()[:20])
    assert index(root / "models") == INDEX
    assert len(calls) == 3


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
    assert len(list((tmp_path / "punie-build").iterdir())) >= 2
