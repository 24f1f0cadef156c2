"""Tables: drawn by rich on a terminal, plain aligned text anywhere else."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence

from segtune.errors import printable

_NUMBER = re.compile(r"[-+]?[\d.,]*( ?%)?")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Prints a table; columns of numbers are aligned to the right.

    Control characters in words are left out.
    """
    columns, title = [printable(name) for name in columns], printable(title)
    rows = [[printable(cell) for cell in row] for row in rows]
    is_number = [all(_NUMBER.fullmatch(row[c]) for row in rows) for c in range(len(columns))]
    if sys.stdout.isatty():
        _print_rich(columns, rows, is_number, title)
        return
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(columns))]
    if title:
        print(title)
    for line in lines:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip())


def _print_rich(
    columns: Sequence[str], rows: Sequence[Sequence[str]], is_number: Sequence[bool], title: str
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for name, right in zip(columns, is_number, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def percent(share: float) -> str:
    """Returns a share 0..1 in percent with one decimal, "-" for NaN.

    Example:
        >>> percent(0.1234), percent(float("nan"))
        ('12.3', '-')
    """
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def signed(share: float) -> str:
    """Returns a difference of shares in percentage points with its sign, "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:+.1f}"
