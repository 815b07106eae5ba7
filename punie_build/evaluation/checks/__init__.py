"""Checks that score an answer. Import them from `union`; `matchers` has the matchers of argument values."""
