"""The kinds of artifacts that punie-build makes, each declared in one place.

`registry` holds all kinds by name; the other modules declare those of one family.
A declaration names the spec, the step and the verification in the package of its subject, and its page in
`reports.pages`; they are imported when they are first used.
"""

__all__ = ("answers", "arms", "base", "data", "evaluation", "grid", "registry", "tokens", "training")
