"""Tables: aligned, and within the width by leaving out columns of least importance; a row is a line without a width."""

import pytest

from warptheory.cli._tables import TableColumn, lay_out

COLUMNS = [
    TableColumn("verdict", ["verified", "refuted"]),
    TableColumn("quantity", ["variance of the jump", "mean"], wraps=True),
    TableColumn("z", ["+0.31", "-12.5"], is_number=True),
    TableColumn("power", ["1.0000", "0.9999"], is_number=True, rank=2),
    TableColumn("at", ["s = 0.3", "s = 0.1"], rank=1),
]


def test_without_a_width_a_row_is_a_line():
    found = lay_out(COLUMNS, None)
    assert found.text.splitlines() == [
        "verdict   quantity                  z   power  at",
        "verified  variance of the jump  +0.31  1.0000  s = 0.3",
        "refuted   mean                  -12.5  0.9999  s = 0.1",
    ]
    assert found.left_out == ()


def test_words_wrap_and_stay_whole():
    assert lay_out(COLUMNS, 46).text.splitlines() == [
        "verdict   quantity          z   power  at",
        "verified  variance of   +0.31  1.0000  s = 0.3",
        "          the jump",
        "refuted   mean          -12.5  0.9999  s = 0.1",
    ]


@pytest.mark.parametrize(("width", "left_out"), [(41, ("power",)), (33, ("power", "at")), (10, ("power", "at"))])
def test_columns_are_left_out_by_rank(width, left_out):
    found = lay_out(COLUMNS, width)
    assert found.left_out == left_out
    assert max(map(len, found.text.splitlines())) <= max(width, 25)


def test_a_table_without_rows_has_headings():
    assert lay_out([TableColumn("z", [])], 80).text == "z"
