"""punie-build: `make` for fine-tuned local models: recipes become datasets, adapters, models, evals and pages.

docs/architecture.md shows the packages and their order. Python programs use `project` (plan and build),
`conversations` (write training rows), `errors`, and the specs in `data`, `training`, `export`, `evaluation` and
`sweeps`. Importing this package imports nothing else: reading recipes needs neither mlx nor httpx, jinja2 or doit.
"""

__all__ = ("conversations", "errors", "project")

__version__ = "0.1.0"
