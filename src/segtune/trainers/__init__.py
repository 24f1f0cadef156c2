"""What is trained by recipes: prompts of every system, and models that are trained whole."""

from __future__ import annotations

from segtune.errors import unknown_name
from segtune.systems import SYSTEMS
from segtune.systems.spec import TrainerSpec
from segtune.trainers.bundled.spec import SPECS as BUNDLED

PROMPTS = "segtune.fewshot.run:train_recipe"
"""Fits the prompts of any system."""


def trainers() -> dict[str, TrainerSpec]:
    """Returns what trains the recipes of every `system:`, by that name."""
    fits = [TrainerSpec(name, PROMPTS) for name in SYSTEMS]
    others = [trainer for spec in SYSTEMS.values() for trainer in spec.trainers]
    return {trainer.name: trainer for trainer in (*fits, *BUNDLED, *others)}


def trainer_of(system: str) -> TrainerSpec:
    """Returns what trains recipes of a `system:`.

    Raises:
        SegtuneError: nothing does.

    Example:
        >>> trainer_of("ovseg/pairs").run
        'segtune.trainers.pairs.run:train_recipe'
    """
    known = trainers()
    if system not in known:
        raise unknown_name(system, known, what="system of recipes")
    return known[system]
