"""Options that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from segtune.cli.options.values import positive_int, setting, share
from segtune.systems import SYSTEMS

RETENTION_DATA = "synthetic:base"


def model_options(parser: ArgumentParser) -> None:
    """Adds the model, its tokenizer and the sentences around words."""
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


def force_option(parser: ArgumentParser) -> None:
    """Adds `--force`."""
    parser.add_argument(
        "--force", action="store_true", help="replace files that exist and are not of such a run"
    )


def min_score_option(parser: ArgumentParser) -> None:
    """Adds `--min-score`."""
    parser.add_argument(
        "--min-score",
        type=share,
        metavar="X",
        help="leave segments with a lower score out, 0..1; default: 0.8 for panoptic segments of "
        "models that predict masks, else 0",
    )


def prompts_option(parser: ArgumentParser) -> None:
    """Adds `--prompts`."""
    parser.add_argument(
        "--prompts", type=Path, metavar="FILE", help="what `segtune fit` has learned"
    )


def system_options(parser: ArgumentParser) -> None:
    """Adds what answers without prompts, and its options."""
    parser.add_argument(
        "--system",
        choices=[name for name, spec in SYSTEMS.items() if not spec.learns],
        help="what answers without --prompts; default: by the kind of model",
    )
    set_option(parser, "option of the system that answers, such as weight=0.5; may be repeated")


def resolution_options(parser: ArgumentParser) -> None:
    """Adds at which size a model looks."""
    parser.add_argument(
        "--size", type=positive_int, metavar="N", help="shorter side of images in pixels"
    )
    parser.add_argument(
        "--crop", type=positive_int, metavar="N", help="side of the sliding window in pixels"
    )


def data_options(parser: ArgumentParser, *, split: str) -> None:
    """Adds labelled data."""
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
    parser.add_argument(
        "--label-values",
        metavar="N=NAME,...",
        help="what values of label maps mean, such as 0=background,255=object; default: class ids",
    )
    parser.add_argument(
        "--ignore-value",
        metavar="N",
        help="values of label maps that are unlabelled, or none; default: 255, or 65535 of 16 bits",
    )
    parser.add_argument(
        "--colors",
        type=Path,
        metavar="FILE",
        help="classes of label maps in colours, in lines such as road,128,64,128; default: "
        "class_dict.csv, labelmap.txt and others beside the maps",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out damaged files and annotations and list them, in place of stopping",
    )


def retention_option(parser: ArgumentParser) -> None:
    """Adds what retention is measured on."""
    parser.add_argument(
        "--retention-data",
        default=RETENTION_DATA,
        metavar="DATA",
        help=f"what the frozen model already knew; its split val; default: {RETENTION_DATA}",
    )


def set_option(parser: ArgumentParser, text: str) -> None:
    """Adds `--set`."""
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=setting,
        metavar="KEY=VALUE",
        help=text,
    )
