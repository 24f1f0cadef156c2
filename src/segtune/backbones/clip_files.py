"""A CLIP on disk: a folder in the layout of `transformers`, which `load_backbone` reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file

from segtune.backbones.clip_vit import ClipVit


def save_clip_vit(clip: ClipVit, folder: Path | str) -> Path:
    """Writes config, weights in full precision, tokenizer and normalisation; returns the folder.

    An older folder is replaced when all is written. Mask prompts have their own file
    (`segtune.prompts`).
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    clip.model.config.save_pretrained(temporary)
    state = {key: value.contiguous() for key, value in clip.model.state_dict().items()}
    save_file(state, temporary / "model.safetensors", metadata={"format": "pt"})
    if clip.tokenizer is not None:
        clip.tokenizer.save_pretrained(temporary)
    side = clip.image_size
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
        "resample": 3,
    }
    text = json.dumps(preprocessing, indent=2) + "\n"
    (temporary / "preprocessor_config.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return folder
