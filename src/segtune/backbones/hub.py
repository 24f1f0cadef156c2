"""From a name or path to a frozen model: bundled, Hugging Face folder or name, official file.

Loading is strict: missing and unexpected keys are listed in full. Pickled files go through torch's
weights-only loader; TorchScript archives (OpenAI's own `.pt`) through `torch.jit.load`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from segtune.backbones.clip_keys import (
    MASK_PROMPTS,
    bare_clip_state,
    clip_config_from_official,
    clip_from_official,
)
from segtune.backbones.clip_vit import CLIP_MEAN, CLIP_STD, ClipVit
from segtune.backbones.masked_clip import check_prompts
from segtune.errors import WeightsError
from segtune.zoo.cards import CARDS, Card

if TYPE_CHECKING:
    from segtune.backbones.base import FrozenModel
    from segtune.backbones.sam import Sam
    from segtune.backbones.sam3 import Sam3
    from segtune.backbones.seem import Seem
    from segtune.backbones.two_stage import TwoStage

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
        from segtune.backbones.two_stage_files import load_pair

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


def clip_vit_from_official(
    state: Mapping[str, Tensor],
    *,
    name: str = "clip",
    quick_gelu: bool = True,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    tokenizer: Any | None = None,
    mean: tuple[float, ...] = CLIP_MEAN,
    std: tuple[float, ...] = CLIP_STD,
) -> ClipVit:
    """Returns a frozen CLIP from a state dict in the OpenAI layout; either tower may be missing.

    Args:
        state: keys such as `visual.conv1.weight`, `token_embedding.weight`; also with "module."
            before them, or "clip_adapter.clip_model." as in an OVSeg checkpoint. Mask prompts among
            them become `ClipVit.mask_prompts`, in the depth that they have.
        quick_gelu: False for OpenCLIP models trained with the plain GELU.
        vision_heads, text_heads: needed only where heads are not 64 wide.
    """
    state = bare_clip_state(state)
    sizes = clip_config_from_official(
        state, quick_gelu=quick_gelu, vision_heads=vision_heads, text_heads=text_heads
    )
    if not sizes:
        raise WeightsError(f"{name}: no CLIP ViT tower found among {len(state)} keys")
    absent = dict.fromkeys({"vision_config", "text_config"} - set(sizes), _PLACEHOLDER)
    values: dict[str, Any] = {**sizes, **absent}
    values["projection_dim"] = next(iter(sizes.values()))["projection_dim"]
    model: Any = CLIPModel(CLIPConfig(**values))
    converted = {key: value.float() for key, value in clip_from_official(state).items()}
    if "text_config" in absent:
        model.text_model = model.text_projection = None
    if "vision_config" in absent:
        model.vision_model = model.visual_projection = None
    converted.setdefault("logit_scale", torch.tensor(100.0).log())
    _load_strictly(model, converted, name)
    prompts = state[MASK_PROMPTS].float() if MASK_PROMPTS in state else None
    clip = ClipVit(model, tokenizer, name=name, mean=mean, std=std, mask_prompts=prompts)
    if prompts is not None:
        check_prompts(clip, prompts)
    return clip


_PLACEHOLDER = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
}
"""Sizes of a tower that a file does not have; the tower is removed after construction."""


def _load_strictly(model: CLIPModel, state: Mapping[str, Tensor], name: str) -> None:
    own = model.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra:
        raise WeightsError(
            f"{name} is not a CLIP ViT of the size its config says: "
            f"missing {missing or 'nothing'}, unexpected {extra or 'nothing'}"
        )
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if own[key].shape != state[key].shape
    ]
    if wrong:
        raise WeightsError(f"{name} does not fit its config: {', '.join(wrong)}")
    model.load_state_dict(dict(state))


def _from_folder(
    path: Path, card: Card | None, tokenizer: str | Path | None
) -> ClipVit | Seem | Sam | Sam3 | TwoStage:
    if (path / "open_clip_config.json").is_file():
        return _from_open_clip(path, tokenizer)
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = json.loads((path / "config.json").read_text())
    if settings.get("model_type") == "seem":
        from segtune.backbones.seem_files import load_seem

        return load_seem(path, tokenizer=tokenizer)
    kind = settings.get("model_type", "nameless")
    if kind == "two-stage":
        from segtune.backbones.two_stage_files import load_two_stage

        return load_two_stage(path, tokenizer=tokenizer)
    if kind in PROPOSAL_TYPES:
        shown = card.name if card else path
        raise WeightsError(
            f"{shown} proposes masks and names none; pair it with the CLIP it was trained with: "
            f"--model {shown}+CLIP"
        )
    if kind in SAM_TYPES:
        from segtune.backbones.sam_files import load_sam

        return load_sam(path, tokenizer=tokenizer, device="cpu")
    if kind != "clip":
        raise WeightsError(
            f"{path} is a {kind!r} model; segtune needs a CLIP with a ViT image tower, a SEEM or "
            "a SAM here"
        )
    config = CLIPConfig.from_dict(settings)
    file = path / "model.safetensors"
    if not file.is_file():
        file = path / "pytorch_model.bin"
    model = CLIPModel(config)
    _load_strictly(model, {key: v.float() for key, v in read_state(file).items()}, path.name)
    mean, std = _normalisation(path)
    return ClipVit(
        model,
        load_tokenizer(tokenizer or path),
        name=card.name if card else path.name,
        mean=mean,
        std=std,
        dense_size=card.dense_size if card else None,
    )


def _normalisation(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    file = path / "preprocessor_config.json"
    if not file.is_file():
        return CLIP_MEAN, CLIP_STD
    values = json.loads(file.read_text())
    mean, std = values.get("image_mean", CLIP_MEAN), values.get("image_std", CLIP_STD)
    return tuple(mean), tuple(std)


def _from_open_clip(path: Path, tokenizer: str | Path | None) -> ClipVit:
    settings = json.loads((path / "open_clip_config.json").read_text())
    files = [path / "open_clip_model.safetensors", path / "open_clip_pytorch_model.bin"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise WeightsError(f"{path} has no {files[0].name}; an OpenCLIP export has it")
    model, preprocess = settings["model_cfg"], settings.get("preprocess_cfg", {})
    vision = model["vision_cfg"]
    head_width = vision.get("head_width", 64)
    return clip_vit_from_official(
        read_state(file),
        name=path.name,
        quick_gelu=model.get("quick_gelu", False),
        vision_heads=vision["width"] // head_width if "width" in vision else None,
        text_heads=model.get("text_cfg", {}).get("heads"),
        tokenizer=load_tokenizer(tokenizer or path),
        mean=tuple(preprocess.get("mean", CLIP_MEAN)),
        std=tuple(preprocess.get("std", CLIP_STD)),
    )


def _from_file(path: Path, tokenizer: str | Path | None) -> ClipVit | Seem | TwoStage:
    state = read_state(path)
    if any(key.startswith("sem_seg_head.predictor.") for key in state):
        from segtune.backbones.two_stage_files import is_two_stage, load_official

        if is_two_stage(state):
            return load_official(path, tokenizer=tokenizer)
        from segtune.backbones.seem_files import load_seem

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


def load_tokenizer(path: str | Path) -> Any | None:
    """Returns the tokenizer in a folder or under a hub name; None where a folder has none."""
    from transformers import CLIPTokenizer

    names = ("tokenizer.json", "vocab.json", "merges.txt")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in names):
        return None
    return CLIPTokenizer.from_pretrained(str(path))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint file; a "state_dict" or "model" entry is unwrapped.

    Raises:
        FileNotFoundError, WeightsError: missing, damaged, or not a dictionary of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a .safetensors, .pt or .bin file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = _unpickle(path)
    except (OSError, WeightsError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} is damaged or not a checkpoint: {reason}") from None
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; expected a state dict")
    return tensors


def _unpickle(path: Path) -> dict[str, Any]:
    if _is_torchscript(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def _is_torchscript(path: Path) -> bool:
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or Path(name).suffix in (".pt", ".bin")
    )
