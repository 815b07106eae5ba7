"""Save the index of transformers' modules, which the library otherwise computes from 3,000 files at each start.

The computation is half of the start of every process that loads a tokenizer: 1.3 s of CPU time. The index depends on
the installed files only, so a file in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`) has it for the next
process: 160 kB of JSON for each installation, which holds the versions that it is for. A file of other versions, or a
damaged one, is computed again and replaced. Without that folder, or with a library that has no such function, the
library computes the index as before.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from punie_build.storage import paths, sealed_file

LIBRARY = "transformers.utils.import_utils"


def saved(compute: Callable[..., Any], library: str | Path, cache: Path) -> Callable[..., Any]:
    """Return `compute(path, prefix)` whose result for the folder `models`, which has nearly all files, is saved in
    `cache`, for the present state of the module `library` and of the folder."""

    def index(module_path: str | Path, prefix: str | None = None) -> Any:
        import msgspec

        folder = Path(str(module_path).removesuffix("__init__.py"))
        if folder.name != "models":
            return compute(module_path, prefix)
        state = repr((sys.version, os.stat(folder).st_mtime_ns, os.stat(library).st_mtime_ns))
        name = hashlib.sha256(repr((str(folder), prefix)).encode()).hexdigest()[:16]
        path = cache / f"transformers-{name}.json"
        with suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
            made_for, rows = msgspec.json.decode(
                sealed_file.read(path) or b"", type=tuple[str, list[tuple[frozenset[str], dict[str, set[str]]]]]
            )
            if made_for == state:
                return dict(rows)
        result = compute(module_path, prefix)
        with suppress(OSError, TypeError):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            sealed_file.write(path, msgspec.json.encode((state, [*result.items()])))
        return result

    return index


class _IndexFinder:
    """Finds the library's module as usual, and replaces its function when the module has been executed."""

    @staticmethod
    def find_spec(fullname: str, *arguments: Any) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, *arguments) if fullname == LIBRARY else None
        if spec and spec.loader and spec.origin:
            execute, library = spec.loader.exec_module, spec.origin

            def exec_module(module: ModuleType) -> None:
                execute(module)
                cache, compute = paths.user_cache(), getattr(module, "define_import_structure", None)
                if cache and compute:
                    module.define_import_structure = saved(compute, library, cache)  # type: ignore[attr-defined]

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Make later imports of transformers in this process use the saved index."""
    sys.meta_path.insert(0, _IndexFinder)
