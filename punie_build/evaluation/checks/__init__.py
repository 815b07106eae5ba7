"""Checks that score an answer.

`union` has all checks as suites name them, `AnyCheck` and `score_answer`; `response` is the answer that they score;
`matchers` has the matchers of argument values, `schemas` holds them against declarations of tools. `check` is the base
class; `text`, `tool_calls`, `python_code`, `python_hook` and `execution` have the checks; `json_text` finds JSON in
answers and holds it against schemas; `assignment` pairs calls with expected calls.
"""

__all__ = ("json_text", "matchers", "response", "schemas", "union")
