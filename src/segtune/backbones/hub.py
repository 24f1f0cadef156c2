"""From a name or path to a frozen model: bundled, Hugging Face folder or name, official file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segtune.backbones.cards import CARDS, Card
from segtune.backbones.clip.files import clip_vit_from_official, load_clip, load_open_clip
from segtune.errors import WeightsError
from segtune.storage.weights import load_tokenizer, read_state

if TYPE_CHECKING:
    from segtune.backbones.base import FrozenModel
    from segtune.backbones.clip.model import ClipVit
    from segtune.backbones.sam.model import Sam
    from segtune.backbones.sam.sam3 import Sam3
    from segtune.backbones.seem.model import Seem
    from segtune.backbones.two_stage.model import TwoStage

DEFAULT_MODEL = "seem-tiny"
"""The bundled model that is used where none is named."""
SAM_TYPES = ("sam", "sam2", "sam2_video", "sam3", "sam3_video")
"""`model_type` in the config.json of a SAM, SAM 2 or SAM 3."""
PROPOSAL_TYPES = ("text-maskformer", "maskformer", "mask2former")
"""`model_type` in the config.json of a network that proposes masks."""


def load_backbone(
    name: str | Path = DEFAULT_MODEL,
    *,
    tokenizer: str | Path | None = None,
    device: str | torch.device | None = None,
) -> FrozenModel:
    """Returns a frozen CLIP ViT, SEEM, SAM, SAM 2, SAM 3 or two-stage pair, by what its files say.

    Args:
        name: a bundled model, a Hugging Face folder or hub name, an OpenAI `.pt` file, an OpenCLIP
            file or folder, an OVSeg or SimBaseline file, or PROPOSALS+CLIP for two of them.
        tokenizer: folder or hub name of tokenizer files; needed for official files, which carry
            none, and for folders without one.
        device: where to put it; None takes an accelerator where there is one.

    Raises:
        FileNotFoundError, WeightsError: nothing found, or it is no model of these.
    """
    model: ClipVit | Seem | Sam | Sam3 | TwoStage
    parts = str(name).split("+")
    if len(parts) == 2 and all(parts) and not Path(name).exists():
        from segtune.backbones.two_stage.files import load_pair

        return load_pair(*parts, tokenizer=tokenizer).to(device or default_device())
    card = CARDS.get(str(name))
    path = card.path() if card and card.is_bundled else Path(name)
    if path.is_dir():
        model = _from_folder(path, card, tokenizer)
    elif path.is_file():
        model = _from_file(path, tokenizer)
    elif _looks_like_path(str(name)):
        raise FileNotFoundError(
            f"no model at {name}; give a folder with config.json and model.safetensors, an "
            f"official CLIP file, or a bundled name ({', '.join(bundled())})"
        )
    else:
        model = _from_hub(card.hub_id or card.name if card else str(name), card, tokenizer)
    return model.to(device or default_device())


def default_device() -> torch.device:
    """Returns the accelerator where there is one, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def bundled() -> list[str]:
    """Returns the names of the models that come with the package."""
    return [name for name, card in CARDS.items() if card.is_bundled]


def _from_folder(
    path: Path, card: Card | None, tokenizer: str | Path | None
) -> ClipVit | Seem | Sam | Sam3 | TwoStage:
    if (path / "open_clip_config.json").is_file():
        return load_open_clip(path, tokenizer=tokenizer)
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = json.loads((path / "config.json").read_text())
    if settings.get("model_type") == "seem":
        from segtune.backbones.seem.files import load_seem

        return load_seem(path, tokenizer=tokenizer)
    kind = settings.get("model_type", "nameless")
    if kind == "two-stage":
        from segtune.backbones.two_stage.files import load_two_stage

        return load_two_stage(path, tokenizer=tokenizer)
    if kind in PROPOSAL_TYPES:
        shown = card.name if card else path
        raise WeightsError(
            f"{shown} proposes masks and names none; pair it with the CLIP it was trained with: "
            f"--model {shown}+CLIP"
        )
    if kind in SAM_TYPES:
        from segtune.backbones.sam.files import load_sam

        return load_sam(path, tokenizer=tokenizer, device="cpu")
    if kind != "clip":
        raise WeightsError(
            f"{path} is a {kind!r} model; segtune needs a CLIP with a ViT image tower, a SEEM or "
            "a SAM here"
        )
    return load_clip(path, settings, card=card, tokenizer=tokenizer)


def _from_file(path: Path, tokenizer: str | Path | None) -> ClipVit | Seem | TwoStage:
    state = read_state(path)
    if any(key.startswith("sem_seg_head.predictor.") for key in state):
        from segtune.backbones.two_stage.files import is_two_stage, load_official

        if is_two_stage(state):
            return load_official(path, tokenizer=tokenizer)
        from segtune.backbones.seem.files import load_seem

        return load_seem(path, tokenizer=tokenizer)
    return clip_vit_from_official(
        state, name=path.stem, tokenizer=load_tokenizer(tokenizer) if tokenizer else None
    )


def _from_hub(
    name: str, card: Card | None, tokenizer: str | Path | None
) -> ClipVit | Seem | Sam | Sam3 | TwoStage:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.txt", "model.safetensors", "open_clip_model.safetensors"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        page = f"; see https://huggingface.co/{name}" if "/" in name else ""
        raise WeightsError(
            f"cannot get the weights of {name!r} ({type(error).__name__}); without a network, pass "
            f"a local folder or a bundled name ({', '.join(bundled())}){page}"
        ) from None
    model = _from_folder(folder, card, tokenizer)
    if card is None:
        model.name = name  # the folder is called after a commit
    return model


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or Path(name).suffix in (".pt", ".bin")
    )
