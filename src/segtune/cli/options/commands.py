"""The options of each command.

Only argparse is imported here, because this runs before every `--help`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from segtune.cli.options.groups import (
    data_options,
    force_option,
    min_score_option,
    model_options,
    prompts_option,
    resolution_options,
    retention_option,
    set_option,
    system_options,
)
from segtune.cli.options.values import formats, natural_int, positive_float, positive_int
from segtune.cli.options.workers import worker_options
from segtune.eval.judges import JUDGES
from segtune.export.sinks import SINKS
from segtune.systems import SYSTEMS, default_systems

TASKS = ("semantic", "instance", "panoptic")
RETENTION_IMAGES = 40
CONVERTED_TO = (
    "ade20k",
    "cityscapes",
    "coco",
    "coco-polygons",
    "colors",
    "cvat",
    "cvat-masks",
    "kitti",
    "labelme",
    "labelstudio",
    "lvis",
    "mapillary",
    "panoptic",
    "png",
    "sa1b",
    "supervisely",
    "voc",
    "yolo",
)
"""Formats of `segtune convert`; the keys of `segtune.export.targets.TARGETS`."""


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
        "--everything",
        action="store_true",
        help="masks of everything, without names: SAM, SAM 2 and Uni-OVSeg",
    )
    pointing.add_argument(
        "--support",
        type=Path,
        action="append",
        metavar="IMAGE",
        help="find objects such as those of --support-mask in this image; may be repeated; "
        "SegPrompt, experimental",
    )
    pointing.add_argument(
        "--of-class",
        metavar="NAME",
        help="find objects of a class of the training of SegPrompt, by its prompt; experimental",
    )
    pointing.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="name these masks by the words: a COCO .json, .npy, or index .png, or a folder of one "
        "PNG per mask; for several images PATH/IMAGE/*.png; a CLIP names them",
    )
    parser.add_argument(
        "--support-mask",
        type=Path,
        action="append",
        metavar="PATH",
        help="the objects in --support, in a file as for --masks; one for each --support",
    )
    parser.add_argument(
        "--skip-empty", action="store_true", help="leave out those of --masks without a pixel"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out damaged ones of --masks and list them"
    )
    parser.add_argument(
        "--not",
        dest="negatives",
        metavar="WORDS",
        help="words that compete for pixels but are no answer",
    )
    parser.add_argument("--task", choices=TASKS, help="default: what suits --format, or semantic")
    min_score_option(parser)
    parser.add_argument(
        "--format",
        dest="formats",
        type=formats,
        metavar="LIST",
        help=f"comma list of {', '.join(SINKS)}; default: overlay,png, or what suits the task",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="GT.json",
        help="COCO annotations whose image and category ids the COCO formats take",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("segmented"), metavar="DIR", help="default: segmented"
    )
    force_option(parser)
    worker_options(parser)
    model_options(parser)
    prompts_option(parser)
    system_options(parser)
    resolution_options(parser)


def fit(parser: ArgumentParser) -> None:
    """Adds the options of `segtune fit`."""
    data_options(parser, split="train, or the only one")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="prompt file to write"
    )
    force_option(parser)
    parser.add_argument(
        "--system",
        choices=[name for name, spec in SYSTEMS.items() if not spec.is_zero_shot],
        help=f"default: {default_systems()}; see `segtune systems`",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="what the prompts of a model that predicts masks learn; default: semantic",
    )
    set_option(parser, "option of the system, such as variant=paper; may be repeated")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--shots", type=positive_int, metavar="N", help="labelled images to learn from; default: 16"
    )
    number.add_argument("--all", action="store_true", help="learn from all images")
    parser.add_argument(
        "--shots-by", choices=("image", "class"), default="image", help="what --shots counts"
    )
    parser.add_argument("--seed", type=natural_int, default=0, metavar="N", help="default: 0")
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
    retention_option(parser)
    model_options(parser)
    resolution_options(parser)


def evaluate(parser: ArgumentParser) -> None:
    """Adds the options of `segtune evaluate`."""
    data_options(parser, split="val where there is one, else test, else the only one")
    parser.add_argument(
        "--task",
        choices=tuple(JUDGES),
        help="; ".join(f"{task.name}: {task.measures}" for task in JUDGES.values())
        + "; default: that of --protocol, else semantic",
    )
    min_score_option(parser)
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
    force_option(parser)
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
    retention_option(parser)
    model_options(parser)
    prompts_option(parser)
    system_options(parser)
    resolution_options(parser)


def check(parser: ArgumentParser) -> None:
    """Adds the options of `segtune check`."""
    data_options(parser, split="all")
    parser.add_argument(
        "--most", type=positive_int, default=100, metavar="N", help="images to read; default: 100"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("check.png"),
        metavar="FILE",
        help="contact sheet with masks drawn; default: check.png",
    )


def convert(parser: ArgumentParser) -> None:
    """Adds the options of `segtune convert`."""
    data_options(parser, split="all")
    parser.add_argument("--to", choices=CONVERTED_TO, required=True, help="format to write")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--force", action="store_true", help="write into a DIR that is not empty")


def train(parser: ArgumentParser) -> None:
    """Adds the options of `segtune train`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    set_option(parser, "field of the recipe, such as fit.loop.steps=100; may be repeated")


def demo(parser: ArgumentParser) -> None:
    """Adds the options of `segtune demo`."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo"
    )
    force_option(parser)
    parser.add_argument("--quick", action="store_true", help="fewer steps and images")
    parser.add_argument("--seed", type=natural_int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--model", metavar="M", help="default: the bundled model")


def vocabularies(parser: ArgumentParser) -> None:
    """Adds the options of `segtune vocabularies`."""
    parser.add_argument(
        "name", nargs="?", help="vocabulary, template set or protocol whose words to print"
    )


def systems(parser: ArgumentParser) -> None:
    """Adds the options of `segtune systems`."""
    parser.add_argument("name", nargs="?", help="system whose options to print")


def datasets(parser: ArgumentParser) -> None:
    """Adds the options of `segtune datasets`."""
    parser.add_argument("what", nargs="?", choices=("build",), help="make a data set of others")
    parser.add_argument("name", nargs="?", choices=("lvis-ow",), help="which one")
    building = parser.add_argument_group("build lvis-ow")
    for option, file in {
        "--lvis-train": "lvis_v1_train.json",
        "--lvis-val": "lvis_v1_val.json",
        "--coco": "instances_train2017.json",
    }.items():
        building.add_argument(option, type=Path, metavar="FILE", help=file)
    building.add_argument(
        "--merge",
        choices=("keep", "drop"),
        default="keep",
        help="LVIS's own objects of the classes that COCO annotates; default: keep",
    )
    building.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write; finished files in it stay"
    )


def no_options(parser: ArgumentParser) -> None:
    """Adds nothing."""
