"""One module for each family of artifacts: the data of its pages, its loader, and its sections.

`SECTIONS` of a module lists its section functions in the order in which the page shows them. A `PageKind` such as
`DATA_PAGE` combines loader and sections; the declarations in `punie_build.artifacts` name it. `standard_sections` has
the sections of all pages, and `cases` those of the cases of a suite.
"""

__all__ = (
    "adapter",
    "adopted",
    "answers",
    "arms",
    "data",
    "evaluation",
    "grid",
    "metric_history",
    "model",
    "preflight",
    "result_files",
    "standard_sections",
    "tokens",
)
