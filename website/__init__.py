"""The documentation as a site: `python -m website.build` writes it to `website/html/`."""
