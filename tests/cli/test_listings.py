"""The commands that only list: models, datasets, vocabularies."""

import pytest

from segtune.backbones.cards import CARDS
from segtune.cli.datasets import ABOUT_WORLDS
from segtune.data.formats import layouts
from segtune.data.synthetic.worlds import world_names
from tests.cli.conftest import Run


def test_models_names_all_cards_with_their_licence(run: Run) -> None:
    lines = run("models").out.splitlines()
    for name, card in CARDS.items():
        assert any(name in line and card.licence in line for line in lines)


def test_datasets_names_all_layouts_and_worlds(run: Run) -> None:
    assert set(ABOUT_WORLDS) == set(world_names())
    out = run("datasets").out
    assert all(layout.looks_like in out for layout in layouts())
    assert all(f"synthetic:{name}" in out for name in world_names())


def test_vocabularies_names_everything(run: Run) -> None:
    out = run("vocabularies").out
    assert all(
        word in out for word in ("ade20k_847", "voc15-5", "PAS-20b", "imagenet_80", "zegformer_32")
    )


@pytest.mark.parametrize(
    ("name", "line", "count"),
    [
        ("voc_20", "aeroplane", 20),
        ("voc15-5", "tvmonitor  (unseen)", 20),
        ("coco156-15:unseen", "playingfield", 15),
        ("pas20b", "bedclothes", 59),
        ("vild_14", "a photo of a {}.", 14),
        ("vild", "There is the {} in the scene", 14),
    ],
)
def test_vocabularies_prints_the_words_of_one(run: Run, name: str, line: str, count: int) -> None:
    lines = run("vocabularies", name).out.splitlines()
    assert line in lines
    assert len(lines) == count


def test_vocabularies_suggests_a_name(run: Run) -> None:
    outcome = run("vocabularies", "voc_22")
    assert outcome.status == 2
    assert "did you mean voc_20 or voc_21" in outcome.err or "voc_2" in outcome.err
