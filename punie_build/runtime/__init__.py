"""Processes, threads and the console: services that change no artifact's bytes.

Public modules: `blas` (fast matrix products on Linux), `child` (a child process that ends with its parent), `console`
(lines and progress bars), `device_lock` (one training per device), `idle` (processes that wait for more work),
`parallel` (map over CPU cores), `parent_watch` (entry point of child processes), `versions` (versions of packages for
keys), `worker_pool` (steps in processes of their own).
"""
