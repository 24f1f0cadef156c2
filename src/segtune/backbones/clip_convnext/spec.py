"""CLIP with a ConvNeXt image tower: OpenCLIP exports and state dicts, and folders of our own."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

_HERE = "segtune.backbones.clip_convnext"

CLIP_CONVNEXT = ModelSpec(
    "clip-convnext",
    titles=("CLIP ConvNeXt",),
    can=("words",),
    folder_marks=(
        FolderMark(values=("clip-convnext",)),
        FolderMark("open_clip_config.json", "model_cfg.vision_cfg.timm_model_name"),
    ),
    state_marks=("visual.trunk.",),
    load_folder=f"{_HERE}.files:load_clip_convnext",
    load_state=f"{_HERE}.files:clip_convnext_from_official",
    random=f"{_HERE}.random:tiny_clip_convnext",
)
