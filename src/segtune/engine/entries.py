"""What came of each image of a run that pairs masks and words."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtune.data.pairs import Pair
from segtune.engine.graph import Graph, Row
from segtune.engine.judge import Verdict, verdict
from segtune.engine.run import Ran
from segtune.engine.words import ImageNoun
from segtune.types import Dataset

COLUMNS = ("nouns", "image", "size", "rles", "boxes", "owners", "pairs", "known")
"""What stages write of an image:

nouns   (text, lemma, caption) of each
image   path of its file, or its id; its height and width are `size`
rles    compressed COCO run lengths of its masks, `boxes` their xyxy, `owners` the class of each
pairs   (noun, mask, score, ...) as places in these lists
known   nouns that the model reads
"""


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


@dataclass(frozen=True)
class Mined:
    """A finished run.

    Attributes:
        path: the file of pairs.
        ran: where the columns of its stages are; `finish` removes them.
        entries: what came of each image, read from disk whenever they are asked for.
        resumed: images that an earlier run had done.
        settings: all that the pairs depend on.
    """

    path: Path
    ran: Ran
    entries: Entries
    resumed: int
    settings: Mapping[str, Any]


def work_folder(out: Path) -> Path:
    """Returns where the shards of an unfinished run are."""
    return out.with_name(f"{out.name}.part")


def finish(mined: Mined) -> None:
    """Removes the shards of a run whose files are all written."""
    shutil.rmtree(mined.ran.store.folder, ignore_errors=True)


class Entries:
    """What came of each image, read from the shards in their order.

    Args:
        ran: a run whose stages write `COLUMNS`.
        graph: of the run.
        dataset: whose samples they are.
        source: what the rows of pairs call their masks.
        per_noun: pairs of one noun that stay in all, the first ones.
    """

    def __init__(
        self,
        ran: Ran,
        graph: Graph,
        dataset: Dataset,
        *,
        source: str,
        per_noun: int | None = None,
    ) -> None:
        self.ran, self.graph, self.dataset = ran, graph, dataset
        self.source, self.per_noun = source, per_noun

    def __iter__(self) -> Iterator[Entry]:
        taken: Counter[str] = Counter()
        good = self.ran.columns(self.graph, COLUMNS)
        for index, row, reason in self.ran.in_order(good):
            if row is None:
                yield Entry(index, 0, 0, (), None, reason)
            else:
                yield self._entry(index, row, taken)

    def _entry(self, index: int, row: Row, taken: Counter[str]) -> Entry:
        """Returns the pairs of an image; `taken` counts those of each noun and is updated."""
        limit = self.per_noun
        concepts = self.dataset.vocabulary.concepts
        pairs, verdicts = [], []
        for number, region, score, *_ in row["pairs"]:
            noun = ImageNoun(*row["nouns"][number])
            if limit is not None and taken[noun.lemma] >= limit:
                continue
            taken[noun.lemma] += 1
            x1, y1, x2, y2 = row["boxes"][region]
            height, width = row["size"]
            pairs.append(
                Pair(
                    image=row["image"],
                    id=self.dataset.sample_id(index),
                    size=(height, width),
                    rle=row["rles"][region],
                    box_px=(x1, y1, x2, y2),
                    text=noun.text,
                    noun=noun.lemma,
                    caption=noun.caption,
                    score=score,
                    source=self.source,
                )
            )
            owner = None if row["owners"] is None else row["owners"][region]
            verdicts.append(None if owner is None else verdict(noun.lemma, concepts[owner]))
        known = None if row["owners"] is None else tuple(verdicts)
        return Entry(index, len(row["rles"]), row["known"], tuple(pairs), known)
