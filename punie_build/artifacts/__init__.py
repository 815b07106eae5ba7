"""The kinds of artifacts that punie-build makes, each declared in one place.

`KINDS` in `punie_build.artifacts.registry` holds all of them by name. A declaration says where the rest of a kind is: its spec and its
step in the package of its noun, its page in `punie_build.reports.pages`.
"""
