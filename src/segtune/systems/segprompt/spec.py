"""SegPrompt: a Mask2Former that finds objects without names, and its training."""

from __future__ import annotations

from segtune.systems.spec import Build, Case, SystemSpec, TrainerSpec

_HERE = "segtune.systems.segprompt"

SEGPROMPT = SystemSpec(
    "segprompt",
    (Build("mask2former", f"{_HERE}.finder:ObjectFinder", f"{_HERE}.finder:FinderConfig"),),
    about="nothing: objects of any kind, without names; trained by recipes",
    source="Zhu et al., ICCV 2023",
    paper="SegPrompt: Boosting Open-World Segmentation via Category-Level Prompt Learning",
    learns=False,
    is_zero_shot=True,
    trainers=(TrainerSpec("segprompt", "segtune.trainers.segprompt.run:train_recipe"),),
    cases=(Case(words="one"),),
)
