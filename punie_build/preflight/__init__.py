"""Preflight: what can be known to go wrong, told all at once before the first minute is spent on it.

There are two times to look. What recipes, a base's own files and locks tell is looked at by `plan` and again when the training
starts (`adapters`, `models`, `room`). What only the rows tell is an artifact, `preflight:DATA@BASE` (`rows`): made once for all
adapters of this data and base, before any of them trains; `plan` looks itself where the data is there and the artifact is not.

An error stops the training, a warning is said. A recipe may allow a look, whatever it finds or up to a share of the rows:

    allow = ["leakage"]         allow = { leakage = 0.01, markers = 0.02 }

To add a look: a function that yields findings in the file of its subject, its row in the `LOOKS` there, its name in `training.spec.LOOKS`.
"""

from __future__ import annotations

from punie_build.preflight.finding import Finding, refused

__all__ = ["Finding", "refused"]
