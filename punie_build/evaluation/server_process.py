"""The process that serves a model: `mlx_lm.server`, with weights in the compute precision of this device.

    python -m punie_build.evaluation.server_process [--canaries FILE] [--stamps JSON] ARGUMENT OF mlx_lm.server ...

`FILE` is a cache of completions. The process writes the canaries of the weights that it has loaded to it, so that no
second process loads them to prove which model answers. `JSON` has the stamps of the files of each folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from mlx_lm import server

from punie_build.evaluation.in_process import load_verified
from punie_build.evaluation.response_cache import ResponseCache


class ModelLoader:
    """The `load` of mlx-lm for its server. The first model that it loads is the one to serve, the second a draft."""

    def __init__(self, canary_file: str | None, stamps: dict[str, str]) -> None:
        self.stamps = stamps
        self.cache = ResponseCache(Path(canary_file), skip_existing=True) if canary_file else None

    def __call__(
        self, folder: str, adapter_path: str | None = None, return_config: bool = False, **options: Any
    ) -> Any:
        """Return the result of mlx-lm's `load`. Ends the process if the model cannot be loaded."""
        cache, self.cache = self.cache, None
        try:
            loaded = load_verified(folder, adapter_path, cache, self.stamps, **options)
        except SystemExit as error:  # this is a thread, and the server would run on without a model
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        return loaded if return_config else loaded[:2]


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--canaries")
    parser.add_argument("--stamps", type=json.loads, default={})
    options, sys.argv[1:] = parser.parse_known_args()
    server.load = ModelLoader(options.canaries, options.stamps)
    server.main()


if __name__ == "__main__":
    main()
