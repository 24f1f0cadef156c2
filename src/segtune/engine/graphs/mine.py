"""Mining mask-category pairs from captions (OVSeg, Liang et al., CVPR 2023, section 3.2).

    image ─ masks ─► regions ─ CLIP ─► region embeddings ┐
    captions ─ nouns ─► text ─ CLIP ─► noun embeddings ──┴─ arg-max per noun ─► pairs

The code of the paper was not released. What is known is the scheme, the arg-max and the counts
(spec, section 5); template, filters and file format are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segtune.data.pairs import PairFormat, check_format, format_of, write_pairs
from segtune.engine.entries import Entries, Mined, work_folder
from segtune.engine.graph import Graph, Kind, Row, Stage
from segtune.engine.graphs.nouns import NounStage, texts_of
from segtune.engine.graphs.phrases import Embedder, PhraseEmbeds, phrase_table
from segtune.engine.match import Filters, match_nouns
from segtune.engine.regions import weights_key
from segtune.engine.run import MAX_BAD, run_graph
from segtune.engine.runners.base import Runner
from segtune.engine.source import SOURCE_COLUMNS, dataset_rows, divided
from segtune.engine.stage import RegionStage
from segtune.engine.words import Wording, embed_noun
from segtune.engine.work import ByRow
from segtune.types import Dataset, TemplateSet
from segtune.vocabulary.nouns.base import NounExtractor
from segtune.vocabulary.templates import read_templates

SCORE_DIGITS = 5
"""Decimals of scores in files; embeddings are rounded to float16 before."""


@dataclass(frozen=True)
class MineConfig:
    """How nouns become pairs; the defaults follow the paper where it says something.

    Attributes:
        captions: how many captions of an image are used, the first ones; None takes all.
        drop_generic: leave out nouns such as "picture" and "group".
        wording: what regions are compared with and called: the lemma, or the words of the caption.
        templates: sentences around a noun; unknown in the paper.
        filters: none by default.
    """

    captions: int | None = 1
    drop_generic: bool = False
    wording: Wording = "lemma"
    templates: TemplateSet = field(default_factory=lambda: read_templates("single"))
    filters: Filters = field(default_factory=Filters)


def mine(
    dataset: Dataset,
    build: Callable[[], RegionStage],
    extractor: Callable[[], NounExtractor],
    *,
    out: Path,
    config: MineConfig | None = None,
    describe: Mapping[str, Any] | None = None,
    format: PairFormat | None = None,
    runner: Runner | None = None,
    max_bad: float = MAX_BAD,
    progress: bool = True,
) -> Mined:
    """Writes the pairs of a dataset to a file.

    A run that is killed at any moment goes on where it was when the same call is made again, and
    then writes the same file, byte by byte. `OUT.part` is the folder of its shards; it stays until
    `finish`. With other settings what depends on them is made anew, and nothing else.

    Args:
        dataset: with captions.
        build: makes the stage that looks at images.
        extractor: makes what finds nouns; both are picklable for more than one process.
        out: the file to write, replaced only when all is done.
        config: which nouns and pairs count.
        describe: what else nouns depend on, such as the name of the extractor.
        format: that of the ending of `out` where None.
        runner: does the work; this process where None.
        max_bad: see `run_graph`.
        progress: show a bar where the output is a terminal.

    Raises:
        SegtuneError: a shard failed, or a process was lost again and again.
    """
    config = config or MineConfig()
    format = format or format_of(out)
    check_format(format)
    look = build()
    graph = mine_graph(look, build, extractor, config=config, describe=describe)
    folder = work_folder(out)
    shards = divided(dataset_rows(dataset))
    ran = run_graph(graph, shards, folder, runner=runner, max_bad=max_bad, progress=progress)
    entries = Entries(
        ran, graph, dataset, source=look.source.name, per_noun=config.filters.per_noun
    )
    write_pairs(out, (pair for entry in entries for pair in entry.pairs), format=format)
    settings = {step.name: step.settings for step in graph.steps}
    return Mined(out, ran, entries, ran.rows_there, {"data": dataset.name, **settings})


def mine_graph(
    look: RegionStage,
    build: Callable[[], RegionStage],
    extractor: Callable[[], NounExtractor],
    *,
    config: MineConfig,
    describe: Mapping[str, Any] | None = None,
) -> Graph:
    """Returns the stages of mining; `look` is one that `build` has made, for its settings."""
    clip = look.clip
    model = f"{clip.name} {weights_key(clip)}"
    words = {
        "captions": config.captions,
        "drop_generic": config.drop_generic,
        "wording": config.wording,
    }
    texts = {"model": model, "templates": asdict(config.templates)}
    regions = {
        "data": f"{look.dataset.name}, {look.dataset.split}",
        "model": model,
        "masks": f"{look.source.name}: {look.source.settings}",
        "regions": asdict(look.config),
    }
    filters = replace(config.filters, per_noun=None)
    return Graph(
        "mine",
        SOURCE_COLUMNS,
        (
            Stage(
                "nouns",
                ("captions",),
                {"nouns": "json"},
                partial(
                    NounStage,
                    extractor,
                    use=config.captions,
                    drop_generic=config.drop_generic,
                    wording=config.wording,
                ),
                {**words, **(describe or {})},
            ),
            phrase_table(
                "nouns",
                partial(_embedder, build, config.templates),
                of=texts_of,
                settings=texts,
            ),
            Stage(
                "regions",
                ("index", "stamp", "id"),
                REGION_COLUMNS,
                partial(_region_function, build),
                regions,
                resource="model",
            ),
            Stage(
                "match",
                ("nouns", "size", "areas", "embeds"),
                {"pairs": "json", "known": "int"},
                partial(MatchStage, filters),
                asdict(filters),
                table="phrases",
            ),
        ),
    )


REGION_COLUMNS: Mapping[str, Kind] = {
    "image": "text",
    "size": "json",
    "rles": "json",
    "boxes": "json",
    "areas": "bytes",
    "embeds": "bytes",
    "owners": "json",
}
"""What is kept of the regions of an image: areas as int64, embeddings as float16."""


def _embedder(build: Callable[[], RegionStage], templates: TemplateSet) -> Embedder:
    return partial(embed_noun, build().clip, templates)


def _region_function(build: Callable[[], RegionStage]) -> ByRow:
    look = build()

    def regions_of(row: Row) -> Row:
        seen = look(row["index"])
        regions = seen.regions
        return {
            "image": seen.image,
            "size": list(regions.size),
            "rles": list(regions.rles),
            "boxes": regions.boxes_px.tolist(),
            "areas": regions.areas_px.astype(np.int64).tobytes(),
            "embeds": regions.embeds.astype(np.float16).tobytes(),
            "owners": None if seen.owners is None else list(seen.owners),
        }

    return ByRow(regions_of)


class MatchStage:
    """Finds the region of every noun."""

    def __init__(self, filters: Filters, table: Sequence[Row]) -> None:
        self.filters, self.embeds = filters, PhraseEmbeds(table)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Returns (noun, region, score) of each image, and how many nouns the model reads."""
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row:
        nouns = [i for i, (text, _, _) in enumerate(row["nouns"]) if text in self.embeds]
        areas = np.frombuffer(row["areas"], np.int64)
        flat = np.frombuffer(row["embeds"], np.float16)
        width = len(flat) // max(len(areas), 1)
        matches = match_nouns(
            self.embeds([row["nouns"][i][0] for i in nouns], width),
            flat.reshape(len(areas), width),
            areas=areas / (row["size"][0] * row["size"][1]),
            filters=self.filters,
        )
        pairs = [[nouns[m.noun], m.region, round(m.score, SCORE_DIGITS)] for m in matches]
        return {"pairs": pairs, "known": len(nouns)}
