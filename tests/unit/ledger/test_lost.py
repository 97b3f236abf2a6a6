"""Tables of lost orders: all rows or none, and every wrong line by its number."""

import pytest

from orderkeep.kernel.errors import Invalid
from orderkeep.ledger.lost import LostOrder, read_csv, read_rows

WHOLE = (
    "number,date,partner,customer,what,status,mes,note\nA-1,2026-03-02,Aurum,Anna,ring,new,M7,x\n"
)


def faults(content: bytes) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        read_csv(content)
    return [(fault.pointer, fault.code) for fault in refused.value.faults]


def test_every_column_is_read() -> None:
    [one] = read_csv(WHOLE.encode()).rows

    assert one == LostOrder("A-1", "2026-03-02", "Aurum", "Anna", "ring", "new", "M7", "x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_russian_tables_are_read_as_they_are_saved(encoding: str, delimiter: str) -> None:
    text = "Номер заказа,Дата,Партнёр,Примечание\nA-1,02.03.2026,Аурум,срочно\n"

    [one] = read_csv(text.replace(",", delimiter).encode(encoding)).rows

    assert one == LostOrder("A-1", "2026-03-02", "Аурум", note="срочно")


def test_other_columns_are_left_out_and_named() -> None:
    table = read_csv(b"number,phone,price\nA-1,+7 900,10\n")

    assert table.rows == [LostOrder("A-1")]
    assert table.ignored == ["phone", "price"]


def test_blank_lines_and_repeats_of_the_same_row_are_nothing_new() -> None:
    assert len(read_csv(b"number,note\nA-1,x\n\n,\nA-1,x\n").rows) == 1


@pytest.mark.parametrize(
    "content, wrong",
    [
        (b"", [("/1/number", "missing")]),
        (b"date,note\n2026-03-02,x\n", [("/1/number", "missing")]),
        (b"number,note\n,x\nA-2,y\n", [("/2/number", "missing")]),
        (b"number,date\nA-1,soon\n", [("/2/ordered_at", "no-date")]),
        (b"number,date\nA-1,2026-02-30\nA-2,31.13.2026\n",
         [("/2/ordered_at", "no-date"), ("/3/ordered_at", "no-date")]),
        (b"number,note\nA-1,x\nA-1,y\n", [("/3/number", "twice")]),
        (b"number\nA-1,x,y\n", [("/2", "too-many-cells")]),
        (b"number,note\nA-1,\x00\n", [("/2/note", "control-character")]),
        (b"number\n" + b"A" * 201 + b"\n", [("/2/number", "too-long")]),
        (b"number,note\nA-1," + b"x" * 401 + b"\n", [("/2/note", "too-long")]),
        (b'number,note\n"A-1,x\n', [("/2", "malformed")]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_line(content: bytes, wrong: list[tuple[str, str]]) -> None:
    assert faults(content) == wrong


def test_only_so_many_faults_are_told() -> None:
    assert len(faults(b"number,note\n" + b",x\n" * 500)) == 100


def test_a_databases_rows_are_read_like_a_table() -> None:
    table = read_rows([{"client_ref": 17, "status": None}, {"client_ref": "A-2", "status": "x"}])

    assert table.rows == [LostOrder("17"), LostOrder("A-2", status="x")]
    assert read_rows([]).rows == []
