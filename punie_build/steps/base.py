"""What steps share."""

from __future__ import annotations

from punie_build.suites import Suite

Suites = dict[str, Suite]
