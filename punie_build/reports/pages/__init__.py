"""One module for each family of artifacts: the data of its pages, a function that loads it, and section functions.

`SECTIONS` of a module lists its section functions in the order in which the page shows them, and a `PageKind` such as
`DATA_PAGE` combines loader and sections; the declarations in `punie_build.artifacts` name it.
"""
