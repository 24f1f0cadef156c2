"""The options of `segtune align`."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from pathlib import Path

from segtune.cli.options.groups import data_options, force_option, model_options, set_option
from segtune.cli.options.values import positive_int, setting, share
from segtune.cli.options.workers import shard_options, worker_options


def align(parser: ArgumentParser) -> None:
    """Adds the options of `segtune align`."""
    data_options(parser, split="train, or the only one")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file of pairs to write"
    )
    force_option(parser)
    parser.add_argument(
        "--format", choices=("jsonl", "parquet"), help="default: that of the ending of FILE"
    )
    parser.add_argument(
        "--caption-file", metavar="FILE", help="captions for the images of DATA, JSONL or COCO's"
    )
    parser.add_argument(
        "--nouns",
        default="rules",
        metavar="B",
        help="finds the entities: rules, lexicon, nltk, spacy, llm or jsonl; default: rules",
    )
    set_option(
        parser, "option of the noun finder, such as pipeline=en_core_web_lg; may be repeated"
    )
    parser.add_argument(
        "--lexicon", metavar="WORDS", help="what lexicon looks for; default: the classes of DATA"
    )
    parser.add_argument(
        "--max-entities",
        type=positive_int,
        default=32,
        metavar="N",
        help="of an image; default: 32",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        metavar="N,N",
        help="canvases at which regions are compared, in pixels; default: that of the model and "
        "7/8 of it",
    )
    parser.add_argument(
        "--cost",
        choices=("softmax", "cosine"),
        default="softmax",
        help="of a mask and an entity; default: softmax",
    )
    parser.add_argument(
        "--min-cosine", type=float, metavar="X", help="leave out pairs that are less alike, -1..1"
    )
    parser.add_argument(
        "--top-share",
        type=_part,
        default=1.0,
        metavar="X",
        help="share of the pairs of an image that stays, the cheapest; default: 1",
    )
    parser.add_argument(
        "--mutual", action="store_true", help="leave out pairs that would rather have others"
    )
    parser.add_argument(
        "--max-masks", type=positive_int, default=100, metavar="N", help="per image; default: 100"
    )
    parser.add_argument(
        "--min-area",
        type=share,
        default=1e-3,
        metavar="X",
        help="smallest share of the canvas of a mask; default: 0.001",
    )
    parser.add_argument(
        "--proposals",
        dest="system_settings",
        action="append",
        default=[],
        type=setting,
        metavar="KEY=VALUE",
        help="option of the proposals, such as grid=32, as `segtune systems uniovseg` lists them; "
        "may be repeated",
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="the first N images only")
    worker_options(parser)
    shard_options(parser)
    model_options(parser)


def _sizes(text: str) -> tuple[int, ...]:
    """Returns whole numbers of a comma list."""
    return tuple(positive_int(part.strip()) for part in text.split(","))


def _part(text: str) -> float:
    """Returns a number above 0, up to 1."""
    value = share(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 keeps nothing; give a share above 0")
    return value
