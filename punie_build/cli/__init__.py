"""The command `punie-build`: one module for each family of commands.

`main` parses the command line and runs one command; `registry` maps the first word of a command to its module, so
that only that module is imported; `options` has options that several commands share. Builds themselves run through
doit.
"""

__all__ = ("main",)
