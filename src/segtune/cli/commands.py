"""The commands: one line of help, options and examples of each."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass

from segtune.cli.options.align import align
from segtune.cli.options.commands import (
    check,
    convert,
    datasets,
    demo,
    evaluate,
    fit,
    no_options,
    segment,
    systems,
    train,
    vocabularies,
)
from segtune.cli.options.mine import mine


@dataclass(frozen=True)
class Command:
    """One command of the command line; `segtune.cli.<name>` runs it."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    examples: tuple[str, ...] = ()


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
            "segtune segment photos/ --vocab ade20k_150 --model ovseg-tiny --set weight=0.6",
            "segtune segment photo.jpg --model segprompt-tiny --support support.jpg "
            "--support-mask mask.png",
        ),
    ),
    "fit": Command(
        "learn prompts from a few labelled images",
        fit,
        (
            "segtune fit photos/ --shots 16 --out street.safetensors",
            "segtune fit synthetic:jargon --set retain=exact --lr 5e-3 --out jargon.safetensors",
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
            "segtune evaluate synthetic:longtail --task open-world",
        ),
    ),
    "check": Command(
        "show what a fit would see of labelled data",
        check,
        ("segtune check photos/", "segtune check yolo/ --split train --out yolo.png"),
    ),
    "convert": Command(
        "write labelled data in another format",
        convert,
        ("segtune convert photos/ --to labelme --out for-labelme",),
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
            "segtune mine COCO --layout coco_instances --nouns rules --captions all "
            "--caption-file COCO/annotations/captions_train2017.json "
            "--model clip-vit-large-patch14 --out coco.jsonl",
            "segtune mine captions.jsonl --masks M --nouns spacy --workers 4 --out pairs.parquet",
        ),
    ),
    "align": Command(
        "pair the masks of a Uni-OVSeg with what captions say",
        align,
        (
            "segtune align captions.jsonl --model uniovseg --out pairs.parquet",
            "segtune align captions.jsonl --model uniovseg --ray-address local --workers 2 "
            "--out pairs.jsonl",
        ),
    ),
    "demo": Command("the whole story offline in about a minute, with a report", demo),
    "models": Command("list the models, bundled and public", no_options),
    "systems": Command(
        "list what can be fitted, or all options of one",
        systems,
        ("segtune systems ssprompt",),
    ),
    "datasets": Command(
        "list the data layouts and the generated worlds, or build a data set of others",
        datasets,
        (
            "segtune datasets build lvis-ow --lvis-train objects/lvis/lvis_v1_train.json "
            "--lvis-val objects/lvis/lvis_v1_val.json "
            "--coco objects/coco/annotations/instances_train2017.json --out lvis-ow",
        ),
    ),
    "vocabularies": Command(
        "list the built-in words, templates and protocols",
        vocabularies,
        ("segtune vocabularies cityscapes_19", "segtune vocabularies coco156-15:unseen"),
    ),
    "doctor": Command("check this installation", no_options),
}
