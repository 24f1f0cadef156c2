"""The commands: one line of help, options and examples of each.

Only argparse is imported here, because this runs before every `--help`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segtune.cli.values import (
    FORMATS,
    count_or_all,
    formats,
    natural_int,
    positive_float,
    positive_int,
    setting,
    share,
)
from segtune.systems import SYSTEMS, ZERO_SHOT

TASKS = ("semantic", "instance", "panoptic")
RETENTION_IMAGES = 40
RETENTION_DATA = "synthetic:base"


@dataclass(frozen=True)
class Command:
    """One command of the command line; `segtune.cli.<name>` runs it."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    examples: tuple[str, ...] = ()


def segment(parser: ArgumentParser) -> None:
    """Adds the options of `segtune segment`."""
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders or globs")
    parser.add_argument(
        "--vocab",
        metavar="WORDS",
        help='"road, car | automobile, tree", a file, or a name of `segtune vocabularies`; '
        "default: the words of --prompts",
    )
    pointing = parser.add_mutually_exclusive_group()
    pointing.add_argument(
        "--points",
        metavar="XY",
        help='masks for clicks in pixels: "120,80; 40,60,-" is one object with a second click '
        "beside it, | separates objects; or FILE.json {image name: [[x, y, label], ...]}",
    )
    pointing.add_argument(
        "--boxes",
        metavar="XYXY",
        help='masks for boxes in pixels: "left,top,right,bottom; ..."; or FILE.json',
    )
    pointing.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="name these masks by the words: a COCO .json, .npy, or index .png, or a folder of one "
        "PNG per mask; for several images PATH/IMAGE/*.png; a CLIP names them",
    )
    parser.add_argument(
        "--skip-empty", action="store_true", help="leave out those of --masks without a pixel"
    )
    parser.add_argument(
        "--not",
        dest="negatives",
        metavar="WORDS",
        help="words that compete for pixels but are no answer",
    )
    parser.add_argument("--task", choices=TASKS, help="default: what suits --format, or semantic")
    _min_score(parser)
    parser.add_argument(
        "--format",
        dest="formats",
        type=formats,
        metavar="LIST",
        help=f"comma list of {', '.join(FORMATS)}; default: overlay,png, or what suits the task",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("segmented"), metavar="DIR", help="default: segmented"
    )
    _model(parser)
    _prompts(parser)
    _answering_system(parser)
    _resolution(parser)


def fit(parser: ArgumentParser) -> None:
    """Adds the options of `segtune fit`."""
    _data(parser, split="train, or the only one")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="prompt file to write"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
    learners = [name for name in SYSTEMS if name not in ZERO_SHOT.values()]
    parser.add_argument(
        "--system",
        choices=learners,
        help="default: ssprompt on a SEEM or SAM, rpn on a CLIP, ovseg on proposals with a CLIP",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="what the prompts of a model that predicts masks learn; default: semantic",
    )
    _settings(parser, "option of the system, such as variant=paper; may be repeated")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--shots", type=positive_int, metavar="N", help="labelled images to learn from; default: 16"
    )
    number.add_argument("--all", action="store_true", help="learn from all images")
    parser.add_argument(
        "--shots-by", choices=("image", "class"), default="image", help="what --shots counts"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--steps", type=positive_int, metavar="N", help="optimiser steps")
    parser.add_argument("--lr", type=positive_float, metavar="X", help="learning rate")
    parser.add_argument("--batch", type=positive_int, metavar="N", help="views per step")
    parser.add_argument(
        "--views",
        type=natural_int,
        metavar="N",
        help="augmented views per image, encoded once; 0 makes fresh ones in every step",
    )
    parser.add_argument(
        "--setting",
        choices=("auto", "supervised", "inductive", "transductive"),
        default="auto",
        help="which labels are used; auto: inductive where classes are tagged unseen",
    )
    parser.add_argument(
        "--retention",
        type=natural_int,
        metavar="N",
        help="images on which the base vocabulary is scored before and after; "
        f"default: {RETENTION_IMAGES} with a bundled model, else 0, which leaves it out",
    )
    _retention_data(parser)
    _model(parser)
    _resolution(parser)


def evaluate(parser: ArgumentParser) -> None:
    """Adds the options of `segtune evaluate`."""
    _data(parser, split="val where there is one, else test, else the only one")
    parser.add_argument(
        "--task",
        choices=(*TASKS, "promptable"),
        default="semantic",
        help="mIoU, AP of instances, PQ, or IoU of one click and one box per object; "
        "default: semantic",
    )
    _min_score(parser)
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="benchmark, such as A-150 or PAS-20b, or zero-shot split, such as voc15-5; it chooses "
        "the data set below DATA, its classes and the words",
    )
    parser.add_argument(
        "--names",
        metavar="STYLE",
        help="how the model is told the classes: synonyms (pooled; default), joined, readable, or "
        "your own words, a file or list in class order",
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="the first N images only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers and the protocol")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one line per class")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with pictures")
    parser.add_argument(
        "--retention",
        type=natural_int,
        nargs="?",
        const=RETENTION_IMAGES,
        default=0,
        metavar="N",
        help="also score the base vocabulary before and after the fit, on N images "
        f"({RETENTION_IMAGES} where N is left out)",
    )
    _retention_data(parser)
    _model(parser)
    _prompts(parser)
    _answering_system(parser)
    _resolution(parser)


def mine(parser: ArgumentParser) -> None:
    """Adds the options of `segtune mine`."""
    _data(parser, split="train, or the only one")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file of pairs to write"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
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
    _settings(parser, "option of the noun finder, such as pipeline=en_core_web_lg; may be repeated")
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
    parser.add_argument(
        "--workers", type=positive_int, default=1, metavar="N", help="processes; default: 1"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where region embeddings are kept for the next run; default: the cache of segtune",
    )
    parser.add_argument("--no-cache", action="store_true", help="keep no region embeddings")
    _model(parser)


def train(parser: ArgumentParser) -> None:
    """Adds the options of `segtune train`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    _settings(parser, "field of the recipe, such as fit.loop.steps=100; may be repeated")


def demo(parser: ArgumentParser) -> None:
    """Adds the options of `segtune demo`."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo"
    )
    parser.add_argument("--quick", action="store_true", help="fewer steps and images")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--model", metavar="M", help="default: the bundled model")


def vocabularies(parser: ArgumentParser) -> None:
    """Adds the options of `segtune vocabularies`."""
    parser.add_argument(
        "name", nargs="?", help="vocabulary, template set or protocol whose words to print"
    )


def no_options(parser: ArgumentParser) -> None:
    """Adds nothing."""


COMMANDS = {
    "segment": Command(
        "segment images with any words",
        segment,
        (
            'segtune segment photo.jpg --vocab "road, car | automobile, tree" --not sky',
            "segtune segment photos/ --prompts street.safetensors --out street",
            "segtune segment 'photos/*.jpg' --vocab coco_80 --task instance --format overlay,coco",
            'segtune segment photo.jpg --points "120,80; 40,60,-" --vocab "car, tree" --model M',
            'segtune segment photo.jpg --masks masks.json --vocab "car, tree"',
            "segtune segment photos/ --vocab ade20k_150 --model ovseg.pth --set weight=0.6",
        ),
    ),
    "fit": Command(
        "learn prompts from a few labelled images",
        fit,
        (
            "segtune fit photos/ --shots 16 --out street.safetensors",
            "segtune fit synthetic:jargon --set loss=softmax --lr 5e-3 --out jargon.safetensors",
        ),
    ),
    "evaluate": Command(
        "score a model, with and without prompts, on labelled images",
        evaluate,
        (
            "segtune evaluate photos/ --prompts street.safetensors --html report.html",
            "segtune evaluate datasets --protocol A-847 --names joined --templates vild",
            "segtune evaluate VOC2012 --protocol voc15-5 --json voc.json",
            "segtune evaluate COCO --task instance --model M --csv classes.csv",
        ),
    ),
    "train": Command(
        "train by a recipe file",
        train,
        ("segtune train recipes/zoo/clip_vit.yaml --out runs/clip --resume",),
    ),
    "mine": Command(
        "turn captions into mask-category pairs",
        mine,
        (
            "segtune mine synthetic:base --out pairs.jsonl",
            "segtune mine COCO --layout coco_instances --caption-file captions_train2017.json "
            "--nouns rules --captions all --model clip-vit-large-patch14 --out coco.jsonl",
            "segtune mine captions.jsonl --masks M --nouns spacy --workers 4 --out pairs.parquet",
        ),
    ),
    "demo": Command("the whole story offline in about a minute, with a report", demo),
    "models": Command("list the models, bundled and public", no_options),
    "datasets": Command("list the data layouts and the generated worlds", no_options),
    "vocabularies": Command(
        "list the built-in words, templates and protocols",
        vocabularies,
        ("segtune vocabularies cityscapes_19", "segtune vocabularies coco156-15:unseen"),
    ),
    "doctor": Command("check this installation", no_options),
}


def _model(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="M", help="name of `segtune models`, folder or file; default: bundled"
    )
    parser.add_argument(
        "--tokenizer", metavar="T", help="folder or name, for model files without a tokenizer"
    )
    parser.add_argument(
        "--templates",
        metavar="T",
        help="sentences around words: a name of `segtune vocabularies`, a file, or 'a map of {}'",
    )


def _min_score(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--min-score",
        type=share,
        metavar="X",
        help="leave segments with a lower score out, 0..1; default: 0.8 for panoptic segments of "
        "models that predict masks, else 0",
    )


def _prompts(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--prompts", type=Path, metavar="FILE", help="what `segtune fit` has learned"
    )


def _answering_system(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--system",
        choices=[name for name, card in SYSTEMS.items() if card.learns.startswith("nothing")],
        help="what answers without --prompts; default: by the kind of model",
    )
    _settings(parser, "option of the system that answers, such as weight=0.5; may be repeated")


def _resolution(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=positive_int, metavar="N", help="shorter side of images in pixels"
    )
    parser.add_argument(
        "--crop", type=positive_int, metavar="N", help="side of the sliding window in pixels"
    )


def _data(parser: ArgumentParser, *, split: str) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="folder or file in a known layout, or synthetic:NAME"
    )
    parser.add_argument("--split", metavar="S", help=f"default: {split}")
    parser.add_argument("--layout", metavar="L", help="name of `segtune datasets`; default: found")
    parser.add_argument(
        "--vocab",
        metavar="WORDS",
        help="class names in label order, where DATA has none",
    )


def _retention_data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--retention-data",
        default=RETENTION_DATA,
        metavar="DATA",
        help=f"what the frozen model already knew; its split val; default: {RETENTION_DATA}",
    )


def _settings(parser: ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=setting,
        metavar="KEY=VALUE",
        help=text,
    )
