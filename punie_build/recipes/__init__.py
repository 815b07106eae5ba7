"""Recipes: reading the TOML files of a project. The public module is `loader`; `builtin.toml` holds the entries every project has."""
