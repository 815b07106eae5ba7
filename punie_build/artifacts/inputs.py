"""What steps share."""

from __future__ import annotations

from punie_build.evaluation.suite import Suite

Suites = dict[str, Suite]
