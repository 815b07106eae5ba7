"""Recipes: TOML files or Python values that describe artifacts.

`loader` reads the TOML files of a project and reports every mistake at once; `table_cache` keeps them parsed;
`recipe_files` finds them; `python_recipes` writes the entries of a `dodo.py` as TOML; `json_schema` is for editors;
`foreign` reads the configurations of other trainers. `builtin.toml` has the entries that every project has.
"""

__all__ = ("foreign", "json_schema", "loader", "python_recipes", "recipe_files")
