"""Entry point of the process that checks the rows of a dataset as a base renders them. Run by a step and by `plan`, not
imported.

    python -m punie_build.preflight.process JOB.json

It uses mlx-lm's own tokenizer and parser, which import mlx.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from punie_build.errors import ModelError
from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer
from punie_build.preflight.rendered_rows import RenderedRows
from punie_build.preflight.result import PreflightJob, PreflightResult, RowFacts
from punie_build.preflight.row_checks import check


def main(job: PreflightJob) -> None:
    """Write the findings.json of a job."""
    try:
        template = ChatTemplate(load_tokenizer(Path(job.base)), job.chat_template_args)
    except ModelError as error:
        raise SystemExit(f"punie: {error}") from None
    rows = RenderedRows(Path(job.data), job.where, template, job.suites, job.mixed, job.pairs)
    facts = RowFacts(rows=rows.rendered.rows, calls=rows.rendered.calling_turns, read=rows.rendered.parsed_turns)
    PreflightResult(facts, check(rows)).write(Path(job.out))


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=PreflightJob))
