"""Readers of data files of any origin: one record at a time, in constant memory, whatever the format.

Public modules: `records` (`read_records`), `discovery` (the data files of a folder, and the format and the split that
a name states), `formats` (`FORMATS`), `compression` (`decompress`), `lines` (`split_lines`), `record` (types and
messages).

To add a format: a function from a path and the content of the file to numbered records, its name in
`formats.FORMATS`, a row in the table of `tests/unit/data/test_readers.py`, and the name in `sources.Format`.
"""
