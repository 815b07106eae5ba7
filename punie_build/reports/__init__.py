"""Reports: HTML pages, Markdown summaries, model cards and terminal output that show artifacts to people.

Reports are views: they enter no key and no digest, and may be deleted at any time. `draw` renders pages and the
index, `freshness` tells which pages are outdated without importing jinja2, `terminal` is `punie-build show`,
`hub_upload` publishes to the Hugging Face Hub, `html` renders one page, `markdown` the summary of a comparison,
`experiments` collects parameters and metrics, `live`
serves pages on this machine, `published_folder` verifies a downloaded folder. The package `pages` has the content of
the pages of each kind.
"""

__all__ = ("draw", "experiments", "freshness", "html", "hub_upload", "live", "pages", "published_folder", "terminal")
