"""`segtune models`: what `--model` can name."""

from __future__ import annotations

from argparse import Namespace

from segtune.backbones import MODELS
from segtune.backbones.cards import CARDS
from segtune.backbones.spec import Capability
from segtune.cli.tables import print_table
from segtune.systems import systems_for

ABILITIES: dict[Capability, str] = {
    "words": "reads words",
    "points": "takes points and boxes",
    "proposals": "proposes masks",
    "everything": "finds everything",
}


def run(options: Namespace) -> int:
    """Prints the cards of the bundled and the public models, and what every kind can do."""
    rows = []
    for name, card in CARDS.items():
        where = "bundled" if card.is_bundled else card.hub_id or ""
        height, width = card.input_size
        score = "; ".join(f"{what}: {value:.1f}" for what, value in card.expected)
        rows.append((name, card.kind, card.licence, f"{width} x {height}", where, score))
    print_table(("model", "kind", "licence", "input", "where", "expected"), rows)
    kinds = [
        (
            spec.kind,
            ", ".join(spec.titles),
            ", ".join(ABILITIES[ability] for ability in spec.can),
            ", ".join(systems_for(spec.kind)[:1]) or "-",
        )
        for spec in MODELS.values()
    ]
    print_table(("kind", "what it is", "what it can", "fitted by default"), kinds)
    print(
        "--model takes these names, any Hugging Face CLIP, a local folder, or an official file;\n"
        "public weights are downloaded when they are first used"
    )
    return 0
