"""Importers of suites in other formats.

`registry` has the table of formats. A module for each format reads it: `bfcl`, `eval_prompts`, `promptfoo`
(with `promptfoo_files`);
`imported` is their result, and `toml_writer` writes it as a suite file.
"""

__all__ = ("registry",)
