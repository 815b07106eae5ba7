"""Readers of data files of any origin: one record at a time, in constant memory, whatever the format.

`records` reads a file (`read_records`), `discovery` lists the data files of a folder with their formats and splits,
`record` has the types and messages that readers share, `compression` and `lines` read archives and long lines. To add
a format: a function from a path and the content of the file to numbered records, and its name in `formats.FORMATS`
and in `sources.Format`.
"""

__all__ = ("compression", "discovery", "lines", "record", "records")
