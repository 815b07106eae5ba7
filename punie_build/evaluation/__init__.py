"""Evaluation: suites of cases, answers of a model, scores and comparisons.

Specs: `spec`, `arm_spec`, `requirements`, `suite`, `suite_file`, `suite_validation`. Answers: `runner`, `server`,
`named_server`, `endpoint`, `recorded_answers`, `answer_files`. Scores: `scoring`, `scores` (scores.json), `comparison`
(comparison.json), `statistics`, `junit`. `steps`, `verify` and `answer_shards` are those of the kinds. The packages
`checks`, `importers` and `result_files` name their own modules; the other modules ask a model.
"""

__all__ = (
    "answer_files",
    "answer_shards",
    "arm_spec",
    "canary",
    "checks",
    "comparison",
    "endpoint",
    "importers",
    "junit",
    "likelihood",
    "named_server",
    "paired_difference",
    "perplexity",
    "recorded_answers",
    "requirements",
    "response_cache",
    "result_files",
    "runner",
    "scores",
    "scoring",
    "server",
    "spec",
    "statistics",
    "steps",
    "stopped_comparison",
    "suite",
    "suite_file",
    "suite_validation",
    "verify",
)
