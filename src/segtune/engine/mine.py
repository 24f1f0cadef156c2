"""Mining mask-category pairs from captions (OVSeg, Liang et al., CVPR 2023, section 3.2).

    image ─ masks ─► regions ─ CLIP ─► region embeddings ┐
    captions ─ nouns ─► text ─ CLIP ─► noun embeddings ──┴─ arg-max per noun ─► pairs

The code of the paper was not released. What is known is the scheme, the arg-max and the counts
(spec, section 5); template, filters and file format are ours.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segtune.data.pairs import Pair, PairFormat, check_format, format_of, write_pairs
from segtune.engine.judge import verdict
from segtune.engine.log import Entry, MiningLog
from segtune.engine.match import Filters, match_nouns
from segtune.engine.regions import weights_key
from segtune.engine.stage import Bad, LookedAt, RegionStage, look_at
from segtune.engine.words import ImageNoun, NounEmbeds, Wording, image_nouns
from segtune.errors import SegtuneError
from segtune.types import Dataset, TemplateSet
from segtune.vocabulary.nouns.base import NounExtractor
from segtune.vocabulary.templates import read_templates

BLOCK = 16
"""Images whose captions go to the noun extractor together."""
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


@dataclass(frozen=True)
class Mined:
    """A finished run.

    Attributes:
        path: the file of pairs.
        log: what was done, image by image; `finish` removes it.
        resumed: images that an earlier run had done.
    """

    path: Path
    log: MiningLog
    resumed: int


def mine(
    dataset: Dataset,
    build: Callable[[], RegionStage],
    extractor: NounExtractor,
    *,
    out: Path,
    config: MineConfig | None = None,
    describe: Mapping[str, Any] | None = None,
    format: PairFormat | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Mined:
    """Writes the pairs of a dataset to a file and returns the log they came from.

    A run that is killed at any moment goes on where it was when the same call is made again, and
    then writes the same file, byte by byte. `OUT.part` is its log; it stays until `finish`.

    Args:
        dataset: with captions.
        build: makes the stage that looks at images; picklable for more than one worker.
        extractor: finds nouns.
        out: the file to write, replaced only when all is done.
        config: which nouns and pairs count.
        describe: what else the pairs depend on, such as the name of the extractor; a log with
            other values is not gone on with.
        format: that of the ending of `out` where None.
        workers: processes that look at images.
        progress: show a bar where the output is a terminal.

    Raises:
        SegtuneError: no sample has a caption, or an unfinished run had other settings.
    """
    config = config or MineConfig()
    format = format or format_of(out)
    check_format(format)
    stage = build()
    settings = _settings(dataset, stage, config) | dict(describe or {})
    log = MiningLog(log_path(out), settings)
    resumed = log.num_done
    with log:
        if resumed < len(dataset):
            _mine_rest(dataset, stage, build, extractor, log, config, workers, progress)
        elif resumed > len(dataset):
            raise SegtuneError(f"{log.path} has more images than the data; remove that file")
    write_pairs(out, (pair for entry in log for pair in entry.pairs), format=format)
    return Mined(out, log, resumed)


def log_path(out: Path) -> Path:
    """Returns where the log of an unfinished run is."""
    return out.with_name(f"{out.name}.part")


def finish(mined: Mined) -> None:
    """Removes the log of a run whose files are all written."""
    mined.log.path.unlink(missing_ok=True)


def _mine_rest(
    dataset: Dataset,
    stage: RegionStage,
    build: Callable[[], RegionStage],
    extractor: NounExtractor,
    log: MiningLog,
    config: MineConfig,
    workers: int,
    progress: bool,
) -> None:
    """Mines the images that the log does not have yet."""
    embeds = NounEmbeds(stage.clip, config.templates)
    taken = Counter(pair.noun for entry in log for pair in entry.pairs)
    rest = range(log.num_done, len(dataset))
    looked_at = look_at(rest, build if workers > 1 else lambda: stage, workers=workers)
    bar = tqdm(
        total=len(dataset),
        initial=log.num_done,
        desc="mine",
        unit="image",
        disable=None if progress else True,
    )
    with bar, closing(looked_at):  # type: ignore[type-var]  # a generator, which can be closed
        for images in _blocks(looked_at):
            nouns = image_nouns(
                [() if isinstance(image, Bad) else image.captions for image in images],
                extractor,
                use=config.captions,
                drop_generic=config.drop_generic,
                wording=config.wording,
            )
            for image, words in zip(images, nouns, strict=True):
                if isinstance(image, Bad):
                    log.append(Entry(image.index, 0, 0, (), None, image.problem))
                else:
                    log.append(_entry(image, words, stage, embeds, config, taken))
                bar.update()


def _blocks(images: Iterator[LookedAt | Bad]) -> Iterator[list[LookedAt | Bad]]:
    while block := list(islice(images, BLOCK)):
        yield block


def _entry(
    image: LookedAt,
    nouns: Sequence[ImageNoun],
    stage: RegionStage,
    embeds: NounEmbeds,
    config: MineConfig,
    taken: Counter[str],
) -> Entry:
    """The pairs of one image; `taken` counts the pairs of each noun so far and is updated."""
    regions = image.regions
    nouns = [noun for noun in nouns if embeds.fits(noun.text)]
    matches = match_nouns(
        embeds([noun.text for noun in nouns]),
        regions.embeds,
        areas=regions.areas_px / (regions.size[0] * regions.size[1]),
        filters=config.filters,
    )
    limit = config.filters.per_noun
    pairs, verdicts = [], []
    concepts = stage.dataset.vocabulary.concepts
    for match in matches:
        noun, region = nouns[match.noun], match.region
        if limit is not None and taken[noun.lemma] >= limit:
            continue
        taken[noun.lemma] += 1
        x1, y1, x2, y2 = regions.boxes_px[region].tolist()
        pairs.append(
            Pair(
                image=image.image,
                id=image.id,
                size=regions.size,
                rle=regions.rles[region],
                box_px=(x1, y1, x2, y2),
                text=noun.text,
                noun=noun.lemma,
                caption=noun.caption,
                score=round(match.score, SCORE_DIGITS),
                source=stage.source.name,
            )
        )
        owner = None if image.owners is None else image.owners[region]
        verdicts.append(None if owner is None else verdict(noun.lemma, concepts[owner]))
    return Entry(
        image.index,
        len(regions),
        len(nouns),
        tuple(pairs),
        None if image.owners is None else tuple(verdicts),
    )


def _settings(dataset: Dataset, stage: RegionStage, config: MineConfig) -> dict[str, Any]:
    """All that the pairs depend on, as plain values."""
    ids = hashlib.sha256()
    for index in range(len(dataset)):
        ids.update(f"{dataset.sample_id(index)}\n".encode())
    return {
        "data": f"{dataset.name}, {dataset.split}",
        "images": len(dataset),
        "ids": ids.hexdigest()[:16],
        "model": f"{stage.clip.name} {weights_key(stage.clip)}",
        "masks": f"{stage.source.name}: {stage.source.settings}",
        "regions": asdict(stage.config),
        **asdict(config),
    }
