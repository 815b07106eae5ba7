"""Importers of suites in other formats.

`registry` has the table of formats. A module for each format reads it: `bfcl`, `code_tasks`, `eval_prompts`,
`inspect_samples`, `lm_eval_task`, `openai_evals`, `promptfoo` (with `promptfoo_files`); `templates` inserts values,
`choice_question` asks for a letter. `imported` is their result, and `toml_writer` writes it as a suite file.
"""

__all__ = ("registry",)
