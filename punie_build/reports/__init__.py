"""Reports: HTML pages, Markdown summaries, model cards and terminal output that show artifacts to people.

Reports are views: they enter no key and no digest, and may be deleted at any time. Public modules: `draw` (render pages
and the index), `freshness` (detect outdated pages), `terminal` (`punie-build show`), `hub_upload` (publish to the
Hugging Face Hub), `html` and `pages` (a page of an eval that no recipe names). This package imports nothing, because a
build without work must start fast.
"""
