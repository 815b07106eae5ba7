"""Reporting: from compared evals to one HTML file. `sections` are the facts, `templates/` the looks, `page` puts them together."""
