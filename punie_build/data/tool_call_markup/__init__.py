"""Tool calls and their results that are written as markup in the text of messages.

`parse` reads the calls in a text, `tool_results` the results; `json_values` parses JSON as models write it; `span`
has the markups (`MARKUPS`) and the context of a text; a module for each markup parses it. To add one: its opening tag
in `_PARSERS` of `parse`, with a function from the text and the position of the tag to a `Span`, and its name in
`MARKUPS`. Only the package `data` uses these modules.
"""

__all__ = ("json_values", "parse", "qwen3_coder", "span", "tool_results")
