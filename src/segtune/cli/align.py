"""`segtune align`: which masks of a Uni-OVSeg show which entities of captions."""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from segtune.backbones.hub import load_backbone
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.cli.jobs.pairs import check_pairs_out, noun_finder, open_captioned, report
from segtune.cli.options.workers import runner_of
from segtune.data.pairs import check_format, format_of
from segtune.engine.graphs.align import AlignConfig, align
from segtune.errors import SegtuneError
from segtune.storage.locks import locked
from segtune.systems import build_system
from segtune.systems.uniovseg.alignment import Confidence
from segtune.systems.uniovseg.model import AdaptedUniOvseg
from segtune.vocabulary.templates import read_templates


def run(options: Namespace) -> int:
    """Aligns masks and entities, and writes the pairs, their statistics and a contact sheet."""
    out: Path = options.out
    check_format(options.format or format_of(out))
    check_pairs_out(out, options)
    config = _config(options)
    with locked(out):
        dataset = open_captioned(options)
        extractor = noun_finder(options, dataset)
        extractor()  # whatever is wrong with it is said before any work
        mined = align(
            dataset,
            partial(build, options.model, options.tokenizer, dict(options.system_settings)),
            extractor,
            out=out,
            config=config,
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


def build(name: str, tokenizer: str | None, settings: dict[str, Any]) -> AdaptedUniOvseg:
    """Returns the frozen model as a system; worker processes call it.

    Raises:
        SegtuneError: it is another kind of model.
    """
    model = load_backbone(name, tokenizer=tokenizer)
    if not isinstance(model, UniOvseg):
        raise SegtuneError(
            f"{name} is a {model.kind}; masks are aligned by a Uni-OVSeg, as `segtune train "
            "recipes/uniovseg/masks.yaml` leaves it"
        )
    system = build_system("uniovseg-frozen", model, settings)
    assert isinstance(system, AdaptedUniOvseg)
    return system


def _config(options: Namespace) -> AlignConfig:
    return AlignConfig(
        sizes=options.sizes,
        cost=options.cost,
        confidence=Confidence(options.top_share, options.min_cosine, options.mutual),
        max_masks=options.max_masks,
        min_area=options.min_area,
        max_entities=options.max_entities,
        templates=read_templates(options.templates or "vild_14"),
    )
