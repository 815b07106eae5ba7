"""One module for each family of artifacts: the data of its pages, a function that loads the data, and functions that build sections.

Each module ends with `SECTIONS`, the section functions in the order in which the page shows them. `draw.KINDS` maps kinds to modules.
"""
