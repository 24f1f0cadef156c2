import sys

import pytest

from segtune.cli.tables import percent, print_table, signed


def test_plain_tables_align_numbers_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("class", "IoU"), [("road", "7.5"), ("a car", "-"), ("sky", "100.0")], title="all")
    assert capsys.readouterr().out == (
        "all\n  class    IoU\n  road     7.5\n  a car      -\n  sky    100.0\n"
    )


def test_terminals_get_a_drawn_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("class", "IoU"), [("[road]", "7.5")])
    drawn = capsys.readouterr().out
    assert "[road]" in drawn
    assert "───" in drawn


def test_numbers() -> None:
    nan = float("nan")
    assert (percent(1.0), percent(nan), signed(0.012), signed(-0.5), signed(nan)) == (
        "100.0",
        "-",
        "+1.2",
        "-50.0",
        "-",
    )
