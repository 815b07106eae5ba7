"""Training data: from sources in any format to folders of chat JSONL in train, valid and test.

Public modules: `spec` (`Dataset`, `Stage`, `Mix`), `sources`, `example` (rows and their messages), `ingest` (rows of a
source), `pipeline` (build a folder), `stats` and `writer` (its `stats.json` and `dropped.jsonl`), `split` and
`split_lock`, `mix`, `transforms`, `audit` and `audit_checks`, `minhash` and `shingles` (near duplicates),
`chat_template`, `jsonl`. The packages `filters`, `dialects`, `readers`, `tool_call_markup` and `synthetic` name theirs.
"""
