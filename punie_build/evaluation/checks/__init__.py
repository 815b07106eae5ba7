"""Checks that score an answer.

`union` has all checks as suites name them, `AnyCheck` and `score_answer`; `response` is the answer that they score;
`matchers` has the matchers of argument values, `schemas` holds them against declarations of tools. `check` is the base
class; `text`, `tool_calls`, `python_code` and
`python_hook` have the checks; `assignment` pairs calls with expected calls.
"""

__all__ = ("matchers", "response", "schemas", "union")
