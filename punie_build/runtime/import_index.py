"""Save the index of transformers' modules, which the library otherwise computes from 3,000 files at each start.

The computation is half of the start of every process that loads a tokenizer: 1.3 s of CPU time. The index depends on
the installed files only, so a file in the user's cache folder has it for the next process. Without that folder, or
with a library that has no such function, the library computes it as before.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE, FUNCTION = "transformers.utils.import_utils", "define_import_structure"
SOURCE_FOLDER = "models"  # the folder that has nearly all files
Index = Callable[..., Any]


def cache_folder() -> Path:
    """Return the folder of the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "punie-build")


def saved(compute: Index, library: Path, cache: Path) -> Index:
    """Return `compute(path, prefix)` whose result for the models folder is saved in `cache`, for the present state of
    the module `library` and of the folder."""

    def index(module_path: str | Path, prefix: str | None = None) -> Any:
        folder = Path(module_path)
        folder = folder.parent if folder.suffix == ".py" else folder
        if folder.name != SOURCE_FOLDER:
            return compute(module_path, prefix)
        state = (str(folder), prefix, sys.version, os.stat(folder).st_mtime_ns, os.stat(library).st_mtime_ns)
        path = cache / f"transformers-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}.marshal"
        with suppress(OSError, EOFError, ValueError, TypeError):
            return marshal.loads(path.read_bytes())  # noqa: S302 - the folder of the user, as with bytecode
        result = compute(module_path, prefix)
        with suppress(OSError, ValueError):
            cache.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(f".{os.getpid()}")
            scratch.write_bytes(marshal.dumps(result))
            scratch.replace(path)
        return result

    return index


class _IndexFinder(MetaPathFinder):
    """Finds the library's module as usual, and replaces its function when the module has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == MODULE else None
        if spec and spec.loader and spec.origin:
            execute, library = spec.loader.exec_module, Path(spec.origin)

            def exec_module(module: ModuleType) -> None:
                execute(module)
                if compute := getattr(module, FUNCTION, None):
                    setattr(module, FUNCTION, saved(compute, library, cache_folder()))

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Make later imports of transformers in this process use the saved index."""
    sys.meta_path.insert(0, _IndexFinder())
