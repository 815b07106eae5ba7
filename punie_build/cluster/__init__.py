"""Cluster: tasks on the workers of a Dask cluster, with the shared store as the only way of data.

`dask_executor` sends a task with the digests of its inputs; a worker (`dask_worker`) makes it in a process of its own
(`job`) and puts the result into the store, from which the build restores it. Needs the extra `punie-build[cluster]`.
"""

__all__ = ["dask_executor", "dask_worker"]
