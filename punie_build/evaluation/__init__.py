"""Evaluation: the answers of a model to a suite of cases, their scores, and comparisons of models.

Public modules: `spec` (`Eval`, `Comparison`, `SuiteFile`), `suite` and `suite_file` (cases), `checks.union` (checks),
`suite_validation`, `runner` (collect answers), `server` (the model server), `answer_files`, `scores`, `scoring` and
`comparison` (results), `paired_difference` and `statistics`, `contamination`, `junit`, `importers.registry`.
"""
