"""Looking: the process that looks at the rows of a dataset as a base reads them. Run by a step and by `plan`, never imported.

    python -m punie_build.preflight.looking JOB.json

With mlx-lm's own tokenizer and parser, which import mlx.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from mlx_lm.tokenizer_utils import load

from punie_build.preflight.row_checks import Rows, look


def main(job: dict[str, Any]) -> None:
    tokenizer: Any = load(Path(job["base"]))
    if not tokenizer.has_chat_template:
        raise SystemExit(f"punie: {job['name']}: its tokenizer has no chat template - use a chat or instruct model")
    rows = Rows(Path(job["data"]), job["where"], tokenizer, job["suites"], job["mixed"])
    facts = {"rows": rows.rendered.rows, "calls": rows.rendered.calls, "read": rows.rendered.read}
    text = msgspec.json.format(msgspec.json.encode({"facts": facts, "findings": look(rows)}), indent=1)
    Path(job["out"], "findings.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
