"""The options of `segtune mine`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from segtune.cli.options.groups import data_options, force_option, model_options, set_option
from segtune.cli.options.values import count_or_all, positive_int, share
from segtune.cli.options.workers import shard_options, worker_options


def mine(parser: ArgumentParser) -> None:
    """Adds the options of `segtune mine`."""
    data_options(parser, split="train, or the only one")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file of pairs to write"
    )
    force_option(parser)
    parser.add_argument(
        "--format", choices=("jsonl", "parquet"), help="default: that of the ending of FILE"
    )
    parser.add_argument(
        "--masks",
        default="ground-truth",
        metavar="M",
        help="ground-truth, or a MaskFormer, Mask2Former, SAM or SAM 2 by name, folder or file; "
        "default: ground-truth",
    )
    parser.add_argument(
        "--mask-size",
        type=positive_int,
        metavar="N",
        help="shorter side of the images that a model proposes masks for, in pixels; default: "
        "that of the model, or 640",
    )
    parser.add_argument(
        "--mask-threshold",
        type=share,
        default=0.5,
        metavar="X",
        help="probability above which a pixel belongs to a proposed mask; default: 0.5",
    )
    parser.add_argument(
        "--regions",
        choices=("cropmask", "crop", "mask"),
        default="cropmask",
        help="what CLIP sees of a region: its box with the background painted over, its box, or "
        "the whole image painted over; default: cropmask",
    )
    parser.add_argument(
        "--caption-file", metavar="FILE", help="captions for the images of DATA, JSONL or COCO's"
    )
    parser.add_argument(
        "--captions",
        type=count_or_all,
        default=1,
        metavar="N",
        help="how many captions of an image are used, or all; default: 1",
    )
    parser.add_argument(
        "--nouns",
        default="lexicon",
        metavar="B",
        help="finds the nouns: lexicon, rules, nltk, spacy, llm or jsonl; default: lexicon",
    )
    set_option(
        parser, "option of the noun finder, such as pipeline=en_core_web_lg; may be repeated"
    )
    parser.add_argument(
        "--lexicon", metavar="WORDS", help="what lexicon looks for; default: the classes of DATA"
    )
    parser.add_argument(
        "--drop-generic", action="store_true", help='leave out nouns such as "picture" and "group"'
    )
    parser.add_argument(
        "--wording",
        choices=("lemma", "caption"),
        default="lemma",
        help="call regions by the dictionary form or as the caption does; default: lemma",
    )
    parser.add_argument(
        "--min-area", type=share, metavar="X", help="smallest share of the image of a region"
    )
    parser.add_argument(
        "--min-margin",
        type=share,
        metavar="X",
        help="smallest distance in similarity to the second best region",
    )
    parser.add_argument(
        "--top", type=positive_int, metavar="N", help="keep the best N pairs of an image"
    )
    parser.add_argument(
        "--per-noun", type=positive_int, metavar="N", help="keep the first N pairs of a noun"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="the first N images only")
    worker_options(parser)
    shard_options(parser)
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where region embeddings are kept for the next run; default: the cache of segtune",
    )
    parser.add_argument("--no-cache", action="store_true", help="keep no region embeddings")
    model_options(parser)
