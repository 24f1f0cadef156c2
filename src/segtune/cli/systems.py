"""`segtune systems`: what can be fitted, and every option of one system."""

from __future__ import annotations

import textwrap
from argparse import Namespace

from segtune.backbones import MODELS
from segtune.cli.tables import print_table
from segtune.errors import listed
from segtune.systems import SYSTEMS, configured
from segtune.systems.describe import Option, options_of, typed
from segtune.systems.spec import FitDefaults, SystemSpec

WIDTH = 80


def run(options: Namespace) -> int:
    """Prints the table of all systems, or all there is to know about one."""
    if options.name is None:
        rows = [
            (name, ", ".join(spec.kinds), spec.about, spec.source) for name, spec in SYSTEMS.items()
        ]
        print_table(("system", "on", "what is learned", "source"), rows)
        print("`segtune systems NAME` prints the options of one, which --set takes")
        return 0
    spec = SYSTEMS.find(options.name)
    for line in described(spec):
        print(line)
    return 0


def described(spec: SystemSpec) -> list[str]:
    """Returns everything about a system that a user can choose, in lines."""
    titles = [title for kind in spec.kinds for title in MODELS[kind].titles]
    lines = [f"{spec.name}: {spec.about}"]
    lines += _wrapped(f"on {listed(titles)}; {', '.join(filter(None, (spec.paper, spec.source)))}")
    if spec.learns and len(spec.tasks) > 1:
        lines.append(f"--task {' | '.join(spec.tasks)}")
    if spec.learns:
        lines += ["", "fit:", *_wrapped(_fit(spec.fit), indent=2)]
    known: dict[str, Option] = {}
    for build in spec.builds:
        found = options_of(configured(spec.name, build))
        new = [option for option in found if known.get(option.name) != option]
        known |= {option.name: option for option in found}
        if build is spec.builds[0]:
            lines += ["", "options (--set NAME=VALUE):", *_variants(spec), *_options(new)]
        elif new:
            lines += ["", f"on {listed(MODELS[build.kind].titles)} also:", *_options(new)]
    letters = {letter for option in known.values() for letter in option.tags}
    tags = [f"[{letter}] {meaning}" for letter, meaning in spec.tags if letter in letters]
    return [*lines, "", *_wrapped("; ".join(tags))] if tags else lines


def _options(options: list[Option]) -> list[str]:
    lines: list[str] = []
    group = ""
    for option in options:
        if option.group and option.group != group:
            lines += ["", *_wrapped(option.group, indent=2)]
        group = option.group
        lines += _wrapped(f"{option.name}={option.default}  ({option.choices})", indent=4)
        lines += _wrapped(option.meaning, indent=8)
    return lines


def _variants(spec: SystemSpec) -> list[str]:
    """Returns what the variants of a system change, the first being the default."""
    if not spec.variants:
        return []
    default, *others = spec.variants
    lines = _wrapped(f"variant={default}  ({' | '.join(spec.variants)})", indent=4)
    build = spec.builds[0]
    base = {option.name: option.default for option in options_of(configured(spec.name, build))}
    for variant in others:
        config = configured(spec.name, build, {"variant": variant})
        changes = [f"{o.name}={o.default}" for o in options_of(config) if o.default != base[o.name]]
        lines += _wrapped(f"{variant}: {', '.join(changes)}", indent=8)
    return lines


def _fit(fit: FitDefaults) -> str:
    """Returns the defaults of a fit in words."""
    parts = [
        f"--steps {fit.steps} --lr {fit.lr:g} --batch {fit.batch} --views {fit.views}",
        f"{fit.optimizer}, weight decay {fit.weight_decay:g}, {fit.warmup} steps of warm-up",
        f"gradients clipped at {fit.clip_norm:g}" if fit.clip_norm else "gradients not clipped",
        "views scaled {:g} to {:g}".format(*fit.scale)
        if fit.scale != (1.0, 1.0)
        else "whole images",
        "with changed colours" if fit.distort else "colours as they are",
    ]
    if fit.rate_factors:
        parts.append(
            f"held-out shots choose from rates times {', '.join(map(typed, fit.rate_factors))} "
            "and the unfitted model"
        )
    return "; ".join(parts)


def _wrapped(text: str, *, indent: int = 0) -> list[str]:
    """Returns text in lines of at most `WIDTH` characters."""
    space = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space, break_long_words=False
    )
