import subprocess
import sys
from dataclasses import replace

import pytest

from segtune.backbones.cards import CARDS, card, names
from segtune.errors import SegtuneError, WeightsError


def test_listing_imports_no_torch() -> None:
    script = "import sys, segtune.backbones.cards as c; c.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_card_is_complete() -> None:
    for name, entry in CARDS.items():
        assert name == entry.name == name.lower()
        assert entry.is_bundled != (entry.hub_id is not None)
        assert entry.licence
        assert entry.source
        assert min(entry.normalisation.std) > 1


def test_bundled_and_public_names() -> None:
    assert "clip-vit-tiny" in names(bundled=True)
    assert "clip-vit-base-patch16" in names(bundled=False)
    assert set(names()) == set(names(bundled=True)) | set(names(bundled=False))


def test_hub_ids_are_names_too() -> None:
    assert card("openai/clip-vit-base-patch16") is card("clip-vit-base-patch16")
    assert card("laion/CLIP-ViT-B-16-laion2B-s34B-b88K").licence == "MIT"


def test_unknown_and_public_names_say_what_to_do() -> None:
    with pytest.raises(SegtuneError, match="choose one of: clip-vit-tiny"):
        card("clip-vit-huge")
    with pytest.raises(SegtuneError, match="hf download openai"):
        card("openai/clip-vit-base-patch16").path()


def test_bundled_weights_have_their_checksum_and_fit_the_budget() -> None:
    for name in names(bundled=True):
        entry = card(name)
        entry.verify()
        size = sum(file.stat().st_size for file in entry.path().iterdir())
        assert size <= 6_000_000, f"{name} takes {size} bytes"


def test_changed_weights_are_noticed() -> None:
    with pytest.raises(WeightsError, match="reinstall"):
        replace(card("clip-vit-tiny"), sha256="0" * 64).verify()
    with pytest.raises(WeightsError, match="missing"):
        replace(card("clip-vit-tiny"), folder="none").path()
