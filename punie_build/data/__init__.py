"""Training data: from sources in any format to folders of chat JSONL in train, valid and test.

Specs and steps: `spec`, `sources`, `mix`, `split`, `steps`. Rows: `example`, `answer_pair`, `jsonl`, `ingest`,
`pipeline`. Files of a target: `stats` (stats.json), `writer` (dropped.jsonl), `verify`. Checks of rows: `audit`,
`audit_checks`, `template_roundtrip`, with `chat_template` and `shingles`. Calls that a base writes: `call_formats`,
`call_syntax`. The packages `filters`, `dialects`, `readers` and `synthetic` name their own modules; `tool_call_markup`
is used inside this package only.
"""

__all__ = (
    "answer_pair",
    "audit",
    "audit_checks",
    "call_formats",
    "chat_template",
    "dialects",
    "example",
    "filters",
    "held_out",
    "ingest",
    "jsonl",
    "merge",
    "mix",
    "pipeline",
    "readers",
    "row_remarks",
    "shingles",
    "sources",
    "spec",
    "split",
    "stats",
    "steps",
    "synthetic",
    "template_roundtrip",
    "unreadable",
    "untrained",
    "user_function",
    "verify",
    "writer",
)
