"""Importers of suites in other formats. `registry` has the table of formats and is the public module."""
