"""The connection to doit: tasks, output and memory of a build.

`tasks` is what a `dodo.py` imports (`artifacts`, `DOIT_CONFIG`); `backend` is the database that doit asks for, read
from the locks, and the entry point `doit.BACKEND`; `reporter` prints what a build does; `program`
runs doit in this process. Only `tasks` and `program` import doit.
"""

__all__ = ("backend", "program", "tasks")
