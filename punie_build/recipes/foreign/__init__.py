"""Configurations of other trainers, read as recipes: mlx-lm, axolotl, and scripts with unsloth or TRL.

A reader returns the tables of a recipe and a note for each setting that it leaves out. No file is run.
"""

__all__ = ("registry",)
