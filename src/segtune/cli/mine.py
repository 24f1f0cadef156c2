"""`segtune mine`: mask-category pairs from the captions of images."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.hub import load_backbone
from segtune.backbones.two_stage.model import DENSE_SIZE
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.cli.jobs.pairs import (
    any_sample,
    check_pairs_out,
    is_labelled,
    noun_finder,
    open_captioned,
    report,
)
from segtune.cli.options.workers import runner_of
from segtune.data.pairs import check_format, format_of
from segtune.engine.graphs.mine import MineConfig, mine
from segtune.engine.masks import GROUND_TRUTH, LabelMasks, MaskSource, ProposedMasks
from segtune.engine.match import Filters
from segtune.engine.stage import RegionStage
from segtune.errors import SegtuneError
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.storage.files import cache_dir
from segtune.storage.locks import locked
from segtune.types import Dataset
from segtune.vocabulary.templates import read_templates

DEFAULT_CLIP = "clip-vit-tiny"


def run(options: Namespace) -> int:
    """Mines the pairs of a dataset and writes them, their statistics and a contact sheet."""
    out: Path = options.out
    check_format(options.format or format_of(out))
    check_pairs_out(out, options)
    with locked(out):
        return _mine(options, out)


def _mine(options: Namespace, out: Path) -> int:
    dataset = open_captioned(options)
    if options.masks == GROUND_TRUTH and not any_sample(dataset, is_labelled):
        raise SegtuneError(
            f"{dataset.name} ({dataset.split}) has no masks; name a model that proposes them with "
            "--masks M"
        )
    extractor = noun_finder(options, dataset)
    extractor()  # whatever is wrong with it is said before any work
    regions = replace(OVSEG, style=options.regions)
    cache = None if options.no_cache else options.cache or cache_dir() / "regions"
    build = partial(
        build_stage,
        dataset,
        model=options.model or DEFAULT_CLIP,
        tokenizer=options.tokenizer,
        masks=options.masks,
        mask_size=options.mask_size,
        mask_threshold=options.mask_threshold,
        regions=regions,
        cache=cache,
    )
    mined = mine(
        dataset,
        build,
        extractor,
        out=out,
        config=_config(options),
        describe={
            "nouns": options.nouns,
            "noun options": {key: str(value) for key, value in options.settings},
            "lexicon": options.lexicon,
        },
        format=options.format,
        runner=runner_of(options),
        max_bad=options.max_bad,
    )
    return report(mined, dataset, options)


def build_stage(
    dataset: Dataset,
    *,
    model: str,
    tokenizer: str | None,
    masks: str,
    mask_size: int | None,
    mask_threshold: float,
    regions: RegionConfig,
    cache: Path | None,
) -> RegionStage:
    """Returns the stage that looks at images, with its models loaded; worker processes call it."""
    clip = load_backbone(model, tokenizer=tokenizer)
    if not isinstance(clip, ClipVit):
        raise SegtuneError(
            f"{clip.name} is no CLIP with a ViT image tower, which compares regions with words; "
            f"choose one with --model, such as {DEFAULT_CLIP}"
        )
    source = open_masks(masks, dataset, size=mask_size, threshold=mask_threshold)
    return RegionStage(dataset, clip, source, regions, cache)


def open_masks(name: str, dataset: Dataset, *, size: int | None, threshold: float) -> MaskSource:
    """Returns the labels as a source of masks, or the model called `name`."""
    if name == GROUND_TRUTH:
        return LabelMasks(dataset.vocabulary)
    model: Any = load_proposals(name)
    size = size or getattr(model, "dense_size", None) or DENSE_SIZE
    return ProposedMasks(model, short_side=size, threshold=threshold, device=model.device)


def _config(options: Namespace) -> MineConfig:
    return MineConfig(
        captions=options.captions,
        drop_generic=options.drop_generic,
        wording=options.wording,
        templates=read_templates(options.templates or "single"),
        filters=Filters(options.min_area, options.min_margin, options.top, options.per_noun),
    )
