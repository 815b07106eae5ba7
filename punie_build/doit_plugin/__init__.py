"""The connection to doit: tasks, output and memory of a build.

`tasks` is what a `dodo.py` imports (`artifacts`, `DOIT_CONFIG`); `backend` is the database that doit asks for, read
from the locks, and the entry point `doit.BACKEND`; `reporter` prints what a build does; `startup`
prepares the process; `program` runs doit in this one; `dumpdb` is a command of doit, and
`option_check` tests its options. Only these three and `tasks` import doit.
"""

__all__ = ("backend", "program", "tasks")
