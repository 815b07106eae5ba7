"""Readers of the result files of other evaluation tools, and the paired difference of two of them.

`registry` reads a file of any format: `inspect_log`, `lm_eval_samples`, `promptfoo_output`, `bfcl_score` and `tables`
each read one. `outcome` defines their result, `content` the bounded reader of bytes; `outcome_difference` compares two.
"""

__all__ = ("content", "outcome_difference", "registry")
