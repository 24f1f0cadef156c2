"""What a mining run has done so far: one line per image, appended as it goes.

The first line holds the settings; a run with other settings does not go on from the log. A killed
run loses the images after the last whole line, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from segtune.data.pairs import Pair
from segtune.engine.judge import Verdict
from segtune.errors import SegtuneError
from segtune.storage.jsonl import read_lines, repair_tail


@dataclass(frozen=True)
class Entry:
    """One finished image.

    Attributes:
        index: of the sample in the dataset.
        regions: how many masks it has.
        nouns: how many nouns its captions have.
        pairs: in the order of the nouns.
        verdicts: one per pair where the image has labels, else None.
        problem: why nothing was looked at; None where it was.
    """

    index: int
    regions: int
    nouns: int
    pairs: tuple[Pair, ...]
    verdicts: tuple[Verdict | None, ...] | None
    problem: str | None = None


def is_log(path: Path, first: str = "data") -> bool:
    """Whether a file is a log of mining, or the beginning of one.

    Args:
        first: name of the first of its settings.
    """
    if not path.is_file():
        return False
    beginning = json.dumps({first: 0})[:-2].encode()
    with path.open("rb") as file:
        return beginning.startswith(file.read(len(beginning)))


class MiningLog:
    """The log of one run.

    Attributes:
        path: the file.
        settings: as they are in it.
        num_done: finished images.

    Args:
        path: the file; created where missing.
        settings: plain JSON values, all that the pairs depend on.

    Raises:
        SegtuneError: the file is of a run with other settings, or no log at all.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not is_log(path, next(iter(settings))):
            raise SegtuneError(f"{path} is no log of mining; move it away")
        repair_tail(path)
        first = next(read_lines(path), None)
        written = json.loads(json.dumps(settings))  # tuples become lists, as they will be read
        if first is not None:
            self._check(first, written)
        self.settings: dict[str, Any] = written
        self.num_done = max(sum(1 for _ in read_lines(path)) - 1, 0)
        self._stream = path.open("ab")
        if first is None:
            self._append(written)

    def _check(self, first: str, settings: Mapping[str, Any]) -> None:
        try:
            before = json.loads(first)
            changed = sorted(
                key for key in {*before, *settings} if before.get(key) != settings.get(key)
            )
        except (ValueError, TypeError, AttributeError):
            raise SegtuneError(f"{self.path} is no log of mining; move it away") from None
        if changed:
            raise SegtuneError(
                f"{self.path} is an unfinished run with other settings ({', '.join(changed)}); "
                "give those again, remove that file, or choose another --out"
            )

    def append(self, entry: Entry) -> None:
        """Writes one image and hands it to the operating system."""
        self._append(
            {
                "index": entry.index,
                "regions": entry.regions,
                "nouns": entry.nouns,
                "pairs": [pair.row() for pair in entry.pairs],
                "verdicts": entry.verdicts,
                **({} if entry.problem is None else {"problem": entry.problem}),
            }
        )
        self.num_done += 1

    def _append(self, line: Any) -> None:
        self._stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._stream.flush()

    def __iter__(self) -> Iterator[Entry]:
        """Yields the finished images in order."""
        lines = read_lines(self.path)
        next(lines, None)
        for line in lines:
            entry = json.loads(line)
            yield Entry(
                entry["index"],
                entry["regions"],
                entry["nouns"],
                tuple(Pair.from_row(row) for row in entry["pairs"]),
                None if entry["verdicts"] is None else tuple(entry["verdicts"]),
                entry.get("problem"),
            )

    def __enter__(self) -> MiningLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
