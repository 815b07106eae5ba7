from __future__ import annotations

import msgspec
import pytest

from punie_build.data.example import decode_example
from punie_build.data.row_remarks import RowRemarks
from tests.support.chat_rows import assistant, result, user

ORPHAN = "2 rows have a result of a tool without its call"


@pytest.mark.parametrize(
    ("messages", "form", "notes"),
    [
        ([user("q"), assistant("a")], {}, []),
        ([user("q"), assistant("", ("f", {}))], {}, []),
        ([user("q"), assistant(" ")], {}, ["2 rows have an empty answer"]),
        ([user(" "), assistant("a")], {}, ["2 rows have an empty question"]),
        ([user("q"), result("x"), assistant("a")], {}, ["2 rows have a result of a tool without its call"]),
        ([user("q"), assistant("", ("f", {})), result("x", 9), assistant("a")], {}, [ORPHAN]),
        ([user("q"), result("x", 1), assistant("", ("f", {})), assistant("a")], {}, [ORPHAN]),
        ([user("q")], {}, ["2 rows have no answer"]),
        ([user("q"), assistant("a"), user("r")], {}, ["2 rows do not end with the assistant"]),
        (
            [user("What is this? <image>"), assistant("a")],
            {},
            ["2 rows have a mark of an image or of sound in the text"],
        ),
        ([user("Close <img src=a.png> and <imager>"), assistant("a")], {}, []),
        ([assistant("a")], {}, ["2 rows have no question"]),
        ([assistant("a")], {"form": "text"}, []),
    ],
)
def test_rows_that_teach_less_are_counted_with_what_to_do(messages, form, notes):
    remarks = RowRemarks()
    for _ in range(2):
        remarks.add(decode_example(msgspec.json.encode({"messages": messages, **form})))
    assert [note.partition(": ")[0] for note in remarks.notes()] == notes


def test_one_row_is_told_in_the_singular():
    remarks = RowRemarks()
    remarks.add(decode_example(msgspec.json.encode({"messages": [user("q"), assistant("a"), user("r")]})))
    assert remarks.notes() == ("1 row does not end with the assistant: the filter `ends-with-assistant` drops it",)
