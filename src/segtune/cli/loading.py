"""From the options of a command to a model, prompts, words, a dataset and a resolution."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtune.backbones.base import prompt_fingerprint
from segtune.backbones.cards import CARDS
from segtune.backbones.hub import DEFAULT_MODEL
from segtune.data.checks.survey import survey
from segtune.data.formats import dataset_splits, open_dataset
from segtune.data.samples import IndexedDataset, Subset
from segtune.errors import SegtuneError
from segtune.predict.segmenter import Segmenter, load
from segtune.prompts import Prompts
from segtune.systems import SYSTEMS, build_system, zero_shot_system
from segtune.systems.base import System
from segtune.types import Dataset, Resolution
from segtune.vocabulary.protocols import Protocol
from segtune.vocabulary.templates import read_templates


def open_prompts(options: Namespace) -> Prompts | None:
    """Returns the prompts of `--prompts`, with the sentences of `--templates` where given."""
    if options.prompts is None:
        return None
    prompts = Prompts.load(options.prompts)
    if options.templates is None:
        return prompts
    return replace(prompts, templates=read_templates(options.templates))


def open_model(options: Namespace, prompts: Prompts | None = None) -> Segmenter:
    """Returns the model of `--model`, else that of the prompts, else the bundled one; prints it.

    Raises:
        WeightsError: the prompts were learned on other weights.
    """
    name = options.model
    if name is None:
        name = _default_model(prompts, getattr(options, "system", None))
    templates = options.templates or (prompts.templates if prompts is not None else None)
    model = load(name, templates=templates, tokenizer=options.tokenizer)
    if prompts is not None:
        prompts.check_model(model.backbone.name, prompt_fingerprint(model.backbone))
    print(f"model {model.backbone.name} on {model.backbone.device}")
    return model


def open_system(
    options: Namespace,
    model: Segmenter,
    prompts: Prompts | None,
    protocol: Protocol | None = None,
) -> System | None:
    """Returns the system of `--system` and `--set`; None where nothing is asked for.

    Args:
        protocol: whose published settings a two-stage system takes before those of `--set`.

    Raises:
        SegtuneError: `--system` beside `--prompts`, or an option that the system does not have.
    """
    if prompts is not None and options.system is not None:
        raise SegtuneError(f"--prompts bring their system, {prompts.system}; leave --system out")
    name = options.system or zero_shot_system(model.backbone.kind)
    if prompts is not None:
        name = prompts.system
    settings = _published(name, model, protocol) | dict(options.settings)
    if not settings and options.system is None:
        return None
    given = settings if prompts is None else {**prompts.options, **settings}
    system = build_system(name, model.backbone, given)
    if prompts is not None:
        system.load_learned(prompts.tensors)
    return system


def _published(name: str, model: Segmenter, protocol: Protocol | None) -> dict[str, Any]:
    """Returns what a system was published with on a benchmark, and prints it."""
    recipe = getattr(model.backbone, "recipe", name) if SYSTEMS.find(name).is_zero_shot else name
    setting = None if protocol is None else protocol.setting(recipe)
    if protocol is None or setting is None or not setting.options:
        return {}
    values = ", ".join(f"{key}={value:g}" for key, value in setting.options.items())
    print(f"{recipe} on {protocol.name}: {values} ({setting.source})")
    return dict(setting.options)


def _default_model(prompts: Prompts | None, system: str | None) -> str:
    """Returns the model of the prompts, else a bundled one that the system runs on."""
    if prompts is not None and all(part in CARDS for part in prompts.model.split("+")):
        return prompts.model
    if system is not None and CARDS[DEFAULT_MODEL].kind not in SYSTEMS[system].kinds:
        for card in CARDS.values():
            if card.is_bundled and card.kind in SYSTEMS[system].kinds:
                return card.name
    return DEFAULT_MODEL


def resolution_of(options: Namespace, model: Segmenter, prompts: Prompts | None) -> Resolution:
    """Returns the resolution of `--size` and `--crop`, else of the prompts, else of the model."""
    known = model.resolution if prompts is None else prompts.resolution
    if options.size is None and options.crop is None:
        return known
    chosen = Resolution.of(options.size or known.short_side, crop=options.crop)
    if options.crop is None and not model.backbone.uses_windows:
        return replace(chosen, crop=None)
    return chosen


def open_labelled(options: Namespace, *, prefer: Sequence[str]) -> Dataset:
    """Returns the dataset of `DATA` and the options of `data_options`.

    Args:
        prefer: splits to take where `--split` is left out, the first that exists.
    """
    split = options.split or preferred_split(options.data, prefer, layout=options.layout)
    return open_dataset(
        options.data,
        layout=options.layout,
        split=split,
        vocabulary=options.vocab,
        options=layout_options(options),
        skip_bad=options.skip_bad,
    )


def layout_options(options: Namespace) -> dict[str, str]:
    """Returns the options of the layout that are given on the command line."""
    names = ("label_values", "ignore_value", "colors")
    given = {name: getattr(options, name) for name in names}
    return {name: str(value) for name, value in given.items() if value is not None}


def print_survey(dataset: Dataset) -> None:
    """Prints images read and left out, pixels per class, and classes without a pixel.

    Generated data, which is right by itself, is not looked at.
    """
    source = dataset
    while (inner := getattr(source, "dataset", None)) is not None:
        source = inner
    if isinstance(source, IndexedDataset):
        print("\n".join(survey(dataset).lines()))


def preferred_split(data: str, prefer: Sequence[str], *, layout: str | None = None) -> str | None:
    """Returns the first of the splits `prefer` that the data has; None leaves the choice open."""
    splits = dataset_splits(data, layout=layout)
    return next((name for name in prefer if name in splits), None)


def first(dataset: Dataset, limit: int | None) -> Dataset:
    """Returns the first `limit` samples of a dataset; all where None."""
    return dataset if limit is None else Subset(dataset, range(min(limit, len(dataset))))


def file_size(path: Path) -> str:
    """Returns the size of a file for people, such as "48 kB"."""
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
