"""Processes, threads and the console: services that change no byte of an artifact.

`child` starts a process that ends with its parent (`parent_watch` is its entry point), `worker_pool` runs steps in
processes of their own, `limited_function` calls a function of the user, `parallel` maps over CPU cores, `idle` keeps
processes for more work, `device_lock` allows one training per device, `console` prints lines and progress bars,
`file_changes` reports the files that people edit, `blas` gives Linux fast matrix products, `import_index` shortens
the start of processes that load a tokenizer, `garbage` has Python collect its garbage rarely, `versions` has the
versions of packages for keys, `machine` describes this one for people, `machine_memory` has the limits of memory,
`program` the commands that messages name.
"""

__all__ = (
    "blas",
    "child",
    "console",
    "device_lock",
    "file_changes",
    "garbage",
    "idle",
    "limited_function",
    "machine",
    "machine_memory",
    "parallel",
    "program",
    "versions",
    "worker_pool",
)
