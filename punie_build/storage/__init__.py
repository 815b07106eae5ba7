"""Files of a project: paths, digests, locks and the store.

`paths` names the files and folders, `atomic` writes and swaps them, `digests` has the digests of files and folders,
`locks` the files NAME.lock.json, `store` keeps results by key, `remote` shares them between machines, `signatures`
says who made them, `settings` reads the settings of a project, `sealed_file` a cache with its digest, `git_refs` the
locks in branches and tags of git, `git_history` those of commits, `project_file` any file of a clone.
"""

__all__ = (
    "atomic",
    "clutter",
    "digests",
    "git_history",
    "git_refs",
    "locks",
    "paths",
    "project_file",
    "remote",
    "sealed_file",
    "settings",
    "signatures",
    "store",
)
