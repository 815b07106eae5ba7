"""Checks of trainings and models before they start; all findings are reported at once.

There are two kinds of checks. Those that need recipes, the files of a base and locks run in `plan`, and again when the
training starts (`config_checks`, `model_checks`, `resources`). Those that need the rows are an artifact,
`preflight:DATA@BASE` (`row_checks`, in the process `process`): built once for all adapters of this data and base,
before any of them trains; `plan` builds it into the store where the data exists and the artifact does not.

An error stops the training, a warning is reported. A recipe may allow a check, whatever its finding or up to a share of
the rows:

    allow = ["leakage"]         allow = { leakage = 0.01, markers = 0.02 }

To add a check: a function that yields findings in the module of its subject, its entry in `CHECKS` there, and its name
in `training.spec.PREFLIGHT_CHECKS`.

Public modules: `preview` (findings of a plan, and of a training that starts), `finding`, `result` (`findings.json`),
`spec`.
"""
