"""CLIP with a ViT image tower: Hugging Face folders, OpenCLIP exports, files of OpenAI's layout."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

CLIP_VIT = ModelSpec(
    "clip-vit",
    titles=("CLIP ViT",),
    can=("words",),
    folder_marks=(
        FolderMark(values=("clip",)),
        FolderMark("open_clip_config.json", entry=""),
    ),
    load_folder="segtune.backbones.clip.files:load_clip",
    load_state="segtune.backbones.clip.files:clip_vit_from_official",
    random="segtune.backbones.clip.random:tiny_clip_vit",
)
