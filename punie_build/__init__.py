"""punie-build: `make` for fine-tuned local models.

Recipes (`recipe`) become tasks (`graph`), tasks become targets (`steps`, `build`), and doit decides what runs (`doit_tasks`).
Nothing heavy is imported here: reading recipes needs neither mlx nor httpx, jinja2 or doit.
"""

__version__ = "0.1.0"
