"""Checks of trainings and models before they start; all findings are reported at once.

Checks that need recipes, the files of a base and locks run in `plan`, and again when a training starts (`preview`).
Those that need the rows are an artifact, `preflight:DATA@BASE`, built once for all adapters of this data and base:
`steps`, `result` (findings.json). `finding` is a problem of either, `spec` has `Preflight`. The checks are in
`config_checks`, `model_checks` and `row_checks`; `resources` estimates memory and time.
"""

__all__ = ("finding", "preview", "resources", "result", "spec", "steps")
