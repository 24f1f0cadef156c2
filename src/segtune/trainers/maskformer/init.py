"""The weights that a training starts from: none, an image encoder's, or a whole MaskFormer's."""

from __future__ import annotations

from pathlib import Path

from segtune.backbones.cards import CARDS
from segtune.backbones.encoders.files import PICKLED, SAFE, load_image_encoder
from segtune.backbones.maskformer.files import MODEL_TYPE, load_maskformer
from segtune.backbones.maskformer.keys import state_from_official
from segtune.backbones.maskformer.model import MaskFormer
from segtune.backbones.reading.hf_files import download
from segtune.backbones.reading.key_tables import load_strictly
from segtune.storage.json_files import read_settings
from segtune.storage.weights import read_state

EXAMPLE = "microsoft/swin-base-patch4-window12-384-in22k"
"""A hub name for messages: what OVSeg with Swin-B starts from, as transformers has it."""
HEAD = "sem_seg_head."
"""What names of a whole MaskFormer start with, and those of an image encoder never."""


def start_from(model: MaskFormer, init: str | None) -> str:
    """Loads weights into a fresh model, in place; returns one line about what was loaded.

    Args:
        init: an image encoder (file, folder or hub name, see `backbones.encoder_files`), a
            MaskFormer of the same sizes (official file, folder, "maskformer-tiny"), or None.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it does not fit.
    """
    if init is None:
        return (
            "init: none, all weights are fresh; the papers start from an image encoder that knows "
            f"ImageNet, for example --set init={EXAMPLE}"
        )
    card = CARDS.get(init)
    path = card.path() if card and card.is_bundled else Path(init)
    if not path.exists():
        path = download(init, example=EXAMPLE)
        if not (path / SAFE).exists():  # as in the repository of the example
            path = download(init, example=EXAMPLE, weights=PICKLED)
    if path.is_dir():
        is_whole = _model_type(path) == MODEL_TYPE
        state = load_maskformer(path).state_dict() if is_whole else {}
    else:
        official = read_state(path)
        is_whole = any(key.startswith(HEAD) for key in official)
        state = state_from_official(official) if is_whole else {}
    if is_whole:
        load_strictly(model, state, init)
        return f"init: the whole model from {init}"
    kept = load_image_encoder(model.image_encoder, path)
    note = f"; fresh in it: {', '.join(kept)}" if kept else ""
    return f"init: the image encoder from {init}{note}; fresh: decoders and heads"


def _model_type(folder: Path) -> str | None:
    file = folder / "config.json"
    if not file.is_file():
        return None
    kind: str | None = read_settings(file).get("model_type")
    return kind
