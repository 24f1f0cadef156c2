"""Which masks show which entities of captions, for Uni-OVSeg's stage 2 and for anything else.

    captions ─ entities ─ phrases ─► text embeddings ┐
    image ─ proposals ─► regions at several sizes ───┴─ cheapest one-to-one pairs (eq. 5-7) ─► pairs

Unpaired supervision: masks come from a model that knows no words, words from captions, and the
frozen CLIP says which belong together. The same pairs that stage 2 finds while it learns, kept on
disk in the format of `segtune mine`; embeddings are float16 here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.uniovseg.model import UniOvseg
from segtune.data.pairs import PairFormat, check_format, encode_rle, format_of, write_pairs
from segtune.engine.entries import Entries, Mined, work_folder
from segtune.engine.graph import Graph, Kind, Row, Stage
from segtune.engine.graphs.nouns import NounStage, texts_of
from segtune.engine.graphs.phrases import Embedder, PhraseEmbeds, phrase_table
from segtune.engine.judge import label_map, owner
from segtune.engine.run import MAX_BAD, run_graph
from segtune.engine.runners.base import Runner
from segtune.engine.source import SOURCE_COLUMNS, dataset_rows, divided
from segtune.engine.work import ByRow
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.masks.pooling import masks_at
from segtune.ops.resize import to_original
from segtune.systems.uniovseg.adapter import region_embeds
from segtune.systems.uniovseg.alignment import Confidence, CostKind, entity_costs, match_entities
from segtune.systems.uniovseg.model import AdaptedUniOvseg
from segtune.types import Dataset, Instance, TemplateSet, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.nouns.base import NounExtractor
from segtune.vocabulary.templates import read_templates

AT_ONCE = 16
"""Masks at the size of the original image that are in memory together."""
DIGITS = 5
"""Decimals of costs and cosines."""

System = Callable[[], AdaptedUniOvseg]


@dataclass(frozen=True)
class AlignConfig:
    """How masks and entities are brought together; the defaults are those of stage 2.

    Attributes:
        sizes: canvases at which regions are compared with entities, whose costs are averaged;
            None takes that of the model and 7/8 of it, which are the published ones.
        cost: of a mask and an entity; see `segtune.systems.uniovseg.alignment`.
        confidence: which pairs are believed.
        max_masks: of an image, best first.
        min_area: share of the canvas of a mask.
        max_entities: of an image, in the order of its captions.
        templates: sentences around an entity.
    """

    sizes: tuple[int, ...] | None = None
    cost: CostKind = "softmax"
    confidence: Confidence = field(default_factory=Confidence)
    max_masks: int = 100
    min_area: float = 1e-3
    max_entities: int = 32
    templates: TemplateSet = field(default_factory=lambda: read_templates("vild_14"))

    def __post_init__(self) -> None:
        if self.sizes is not None and (not self.sizes or min(self.sizes) < 1):
            raise SegtuneError(f"sizes={list(self.sizes)}; expected at least one size in pixels")
        if min(self.max_masks, self.max_entities) < 1 or not 0 <= self.min_area < 1:
            raise SegtuneError("max_masks and max_entities start at 1, min_area is a share 0..1")


def align(
    dataset: Dataset,
    build: System,
    extractor: Callable[[], NounExtractor],
    *,
    out: Path,
    config: AlignConfig | None = None,
    describe: Mapping[str, Any] | None = None,
    format: PairFormat | None = None,
    runner: Runner | None = None,
    max_bad: float = MAX_BAD,
    progress: bool = True,
) -> Mined:
    """Writes the pairs of masks and entities of a dataset to a file.

    A killed run goes on, as `segtune.engine.graphs.mine.mine` does; the arguments are the same.
    """
    config = config or AlignConfig()
    format = format or format_of(out)
    check_format(format)
    system = build()
    if config.sizes is None:
        config = replace(config, sizes=published_sizes(system.backbone))
    graph = align_graph(system, dataset, build, extractor, config=config, describe=describe)
    shards = divided(dataset_rows(dataset))
    ran = run_graph(
        graph, shards, work_folder(out), runner=runner, max_bad=max_bad, progress=progress
    )
    entries = Entries(ran, graph, dataset, source=system.backbone.name)
    write_pairs(out, (pair for entry in entries for pair in entry.pairs), format=format)
    settings = {step.name: step.settings for step in graph.steps}
    return Mined(out, ran, entries, ran.rows_there, {"data": dataset.name, **settings})


def published_sizes(model: UniOvseg) -> tuple[int, int]:
    """Returns 896 and 1024 for the canvas of 1024 of the authors, and the like for others."""
    smaller = max(round(7 / 8 * model.dense_size / model.stride), 1) * model.stride
    return smaller, model.dense_size


def align_graph(
    system: AdaptedUniOvseg,
    dataset: Dataset,
    build: System,
    extractor: Callable[[], NounExtractor],
    *,
    config: AlignConfig,
    describe: Mapping[str, Any] | None = None,
) -> Graph:
    """Returns the stages; `system` is one that `build` has made, for its settings."""
    model = f"{system.backbone.name} {system.backbone.fingerprint}"
    regions = {
        "data": f"{dataset.name}, {dataset.split}",
        "model": model,
        "proposals": system.config_values(),
        "sizes": config.sizes,
        "max_masks": config.max_masks,
        "min_area": config.min_area,
    }
    matching = {"cost": config.cost, **asdict(config.confidence)}
    nouns = partial(
        NounStage,
        extractor,
        use=None,
        drop_generic=True,
        wording="lemma",
        most=config.max_entities,
    )
    return Graph(
        "align",
        SOURCE_COLUMNS,
        (
            Stage(
                "entities",
                ("captions",),
                {"nouns": "json"},
                nouns,
                {"max_entities": config.max_entities, **(describe or {})},
            ),
            phrase_table(
                "nouns",
                partial(_embedder, build, config.templates),
                of=texts_of,
                settings={"model": model, "templates": asdict(config.templates)},
            ),
            Stage(
                "regions",
                ("index", "stamp", "id"),
                REGION_COLUMNS,
                partial(_region_function, build, dataset, config),
                regions,
                resource="model",
            ),
            Stage(
                "match",
                ("nouns", "rles", "embeds"),
                {"pairs": "json", "known": "int"},
                partial(MatchStage, config, system.backbone.clip.temperature),
                matching,
                table="phrases",
            ),
        ),
    )


REGION_COLUMNS: Mapping[str, Kind] = {
    "image": "text",
    "size": "json",
    "rles": "json",
    "boxes": "json",
    "ious": "json",
    "embeds": "bytes",
    "owners": "json",
}
"""What is kept of an image; `embeds` are float16, (sizes, masks, k)."""


def _embedder(build: System, templates: TemplateSet) -> Embedder:
    return partial(_embed_phrase, build().backbone, templates)


def _embed_phrase(model: UniOvseg, templates: TemplateSet, phrase: str) -> np.ndarray | None:
    """Returns (k,) float16 of a phrase, read alone; None where the model cannot read it whole."""
    try:
        rows = embed_vocabulary(model, Vocabulary.of(phrase), templates, use_cache=False)
    except WeightsError:
        raise
    except SegtuneError:  # the sentence does not fit into the context of the text tower
        return None
    vector: np.ndarray = rows[0].half().cpu().numpy()
    return vector


def _region_function(build: System, dataset: Dataset, config: AlignConfig) -> ByRow:
    return ByRow(RegionFunction(build(), dataset, config))


class RegionFunction:
    """Proposes the masks of an image and looks at what is inside of them at several sizes."""

    def __init__(self, system: AdaptedUniOvseg, dataset: Dataset, config: AlignConfig) -> None:
        self.system, self.dataset, self.config = system, dataset, config

    @torch.inference_mode()
    def __call__(self, row: Row) -> Row:
        """Returns masks, boxes, expected overlaps and embeddings, best masks first."""
        sample = self.dataset[row["index"]]
        pixels = sample.pixels()
        model, config = self.system.backbone, self.config
        looked = self.system.look(pixels, model.dense_size)
        features = self.system.features_of(looked).tensors
        last = looked.seen.maps[-1]
        masks = features["mask_logits"][0]
        is_seen = masks_at(masks[None], (last.shape[-2], last.shape[-1]))[0].flatten(1).any(1)
        is_large = (masks > 0).flatten(1).float().mean(1) >= config.min_area
        picks = (is_seen & is_large).nonzero()[: config.max_masks, 0]
        full = [
            mask
            for part in masks[picks].split(AT_ONCE)
            for mask in (to_original(part, looked.geometry) > 0).cpu().numpy()
        ]
        kept = [place for place, mask in enumerate(full) if mask.any()]
        picks, full = picks[kept], [full[place] for place in kept]
        embeds = [self._seen_at(size, pixels, masks[picks]) for size in config.sizes or ()]
        labels = label_map(sample)
        image = sample.id if isinstance(sample.image, np.ndarray) else sample.image.as_posix()
        return {
            "image": image,
            "size": list(pixels.shape[:2]),
            "rles": [encode_rle(mask) for mask in full],
            "boxes": [list(Instance(0, mask).box_px) for mask in full],
            "ious": [round(v, DIGITS) for v in features["ious"][0][picks].tolist()],
            "embeds": torch.stack(embeds).half().cpu().numpy().tobytes(),
            "owners": None if labels is None else [owner(mask, labels) for mask in full],
        }

    def _seen_at(self, size: int, pixels: np.ndarray, masks: Tensor) -> Tensor:
        """Returns the frozen embeddings (N, k) of masks on a canvas of a size."""
        model = self.system.backbone
        return region_embeds(model, model.look(pixels, size).seen, masks[None])[0]


class MatchStage:
    """Finds the mask of every entity.

    Args:
        config: costs and confidence.
        temperature: of the CLIP.
        table: of phrases.
    """

    def __init__(self, config: AlignConfig, temperature: float, table: Sequence[Row]) -> None:
        self.config, self.temperature = config, float(temperature)
        self.embeds = PhraseEmbeds(table)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Returns (entity, mask, cosine, cost, margin, cosine at each size) of each image."""
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row:
        nouns = [i for i, (text, _, _) in enumerate(row["nouns"]) if text in self.embeds]
        count, sizes = len(row["rles"]), len(self.config.sizes or ())
        if not (count and nouns):
            return {"pairs": [], "known": len(nouns)}
        regions = torch.from_numpy(np.frombuffer(row["embeds"], np.float16).copy())
        regions = regions.view(sizes, count, -1).float()
        texts = self.embeds([row["nouns"][i][0] for i in nouns], regions.shape[-1])
        words = torch.from_numpy(texts).float()
        cosines = regions @ words.T  # (S, M, T)
        costs = entity_costs(regions, words, temperature=self.temperature, kind=self.config.cost)
        match = match_entities(costs, confidence=self.config.confidence, cosine=cosines.mean(0))
        pairs = []
        for mask, word in zip(match.query_ids.tolist(), match.target_ids.tolist(), strict=True):
            others = torch.cat([costs[:mask, word], costs[mask + 1 :, word]])
            margin = float(others.min() - costs[mask, word]) if len(others) else None
            each = cosines[:, mask, word].tolist()
            pair = [nouns[word], mask, *(_rounded(v) for v in (sum(each) / sizes,))]
            pair += [_rounded(float(costs[mask, word])), _rounded(margin)]
            pairs.append([*pair, *map(_rounded, each)])
        return {"pairs": sorted(pairs), "known": len(nouns)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
