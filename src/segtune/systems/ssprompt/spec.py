"""SSPrompt, its two halves and its baselines, on SEEM, SAM, SAM 2 and SAM 3."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segtune.systems.spec import Build, Case, FitDefaults, SystemSpec

if TYPE_CHECKING:
    from segtune.types import Task

PAPER = "Learning to Prompt Segment Anything Models"
SOURCE = "Huang et al., arXiv 2401.04651"
TAGS = (("P", "the paper"), ("R", "our reconstruction"))
TASKS: tuple[Task, ...] = ("semantic", "instance", "panoptic")

_HERE = "segtune.systems.ssprompt"
SEEM = Build("seem", f"{_HERE}.model:PromptedSeem", f"{_HERE}.config:configure")
SAM = Build("sam", f"{_HERE}.sam:PromptedSam", f"{_HERE}.sam_config:configure_sam")
SAM3 = Build("sam3", f"{_HERE}.sam3:PromptedSam3", f"{_HERE}.sam_config:configure_sam3")

_ON_CLASSES = f"{_HERE}.advice:on_classes"
_ON_LOSS = f"{_HERE}.advice:on_loss"

# Whole images, mirrored or not, as in the paper. Rates were chosen on the validation split of
# `jargon`, seed 0, as the paper's were lost. With AdamW every class embedding moves at the same
# pace, also those of classes that the images do not show, which forgets them.
_EMBEDDINGS = FitDefaults(
    steps=300,
    lr=0.02,
    optimizer="sgd",
    weight_decay=1e-4,
    warmup=10,
    clip_norm=None,
    batch=4,
    views=2,
    scale=(1.0, 1.0),
    distort=False,
    classes_option="classes",
)
# Prompts that start at the zero-shot model are compared with it on held-out shots first. Objects
# are compared by their loss, which fast queries lower most while they forget the words outside of
# the fit (20 points of mIoU on `base`) and find no more objects: there the rates stay.
_COMPARED = replace(_EMBEDDINGS, rate_factors=(1.0, 0.1), trial_steps=100)

_AS_ZERO_SHOT = Case("", kinds=("seem",), starts_as_zero_shot={}, random_start=False)
_ON_SAM3 = replace(_AS_ZERO_SHOT, name="on SAM 3", kinds=("sam3",))
_GRID = {"point_grid": 3}
_ON_SAM = Case(
    "on SAM",
    {**_GRID, "class_tokens": 2},
    kinds=("sam",),
    random_start=False,
    words="of the fit",
)
_MASKS_OF_SAM = replace(_ON_SAM, options=_GRID, words="one", starts_as_zero_shot=_GRID)
_INSTANCES = {"task": "instance"}


SPECS = (
    SystemSpec(
        "ssprompt",
        (SEEM, SAM, SAM3),
        about="query and class embeddings (SpaPrompt and SemPrompt)",
        source=SOURCE,
        paper=PAPER,
        # (queries, class embeddings): new names, or names that are right in images that look
        # different.
        fit=replace(_COMPARED, rate_factors=(1.0, (10.0, 0.1))),
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(
            _AS_ZERO_SHOT,
            replace(_AS_ZERO_SHOT, name="exact", options={"retain": "exact"}),
            replace(_AS_ZERO_SHOT, name="instances", options=_INSTANCES),
            Case("noise", {"embed_init": "noise", "fusion": "additive"}, kinds=("seem",)),
            _ON_SAM,
            replace(_ON_SAM, name="instances on SAM", options={**_ON_SAM.options, **_INSTANCES}),
            _ON_SAM3,
            replace(
                _ON_SAM3,
                name="instances on SAM 3",
                options=_INSTANCES,
                starts_as_zero_shot=_INSTANCES,
            ),
        ),
    ),
    SystemSpec(
        "spaprompt",
        (SEEM, SAM, SAM3),
        about="query embeddings",
        source=SOURCE,
        paper=PAPER,
        fit=replace(_COMPARED, lr=0.3),
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(_AS_ZERO_SHOT, _MASKS_OF_SAM, _ON_SAM3),
    ),
    SystemSpec(
        "semprompt",
        (SEEM, SAM, SAM3),
        about="class embeddings",
        source=SOURCE,
        paper=PAPER,
        fit=_COMPARED,
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(
            _AS_ZERO_SHOT,
            replace(_AS_ZERO_SHOT, name="pull", options={"pull": 0.1}),
            _ON_SAM,
            _ON_SAM3,
        ),
    ),
    SystemSpec(
        "coop",
        (SEEM,),
        about="word vectors before the class names",
        source="Zhou et al., IJCV 2022",
        paper="Learning to Prompt for Vision-Language Models",
        fit=replace(_EMBEDDINGS, lr=0.05, clip_norm=1.0),  # steep inside the text encoder
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(Case(options={"context_tokens": 4}),),
    ),
    SystemSpec(
        "locn",
        (SEEM,),
        about="the word vectors of the class names",
        source="Parisot et al., CVPR 2023",
        paper="Learning to Name Classes for Vision and Language Models",
        fit=replace(_EMBEDDINGS, lr=0.2, clip_norm=1.0),
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(Case(random_start=False),),
    ),
    SystemSpec(
        "vspl",
        (SEEM, SAM),
        about="the places of point prompts",
        source=f"baseline of {SOURCE}",
        paper=PAPER,
        fit=replace(_EMBEDDINGS, lr=0.01),
        tasks=TASKS,
        tags=TAGS,
        note_on_fit=_ON_CLASSES,
        note_on_loss=_ON_LOSS,
        cases=(
            Case("", {"point_grid": 2}, kinds=("seem",), random_start=False),
            replace(_MASKS_OF_SAM, starts_as_zero_shot=None),  # coordinates go through a logit
        ),
    ),
    SystemSpec(
        "seem",
        (SEEM,),
        about="nothing: the model as it is",
        source="Zou et al., NeurIPS 2023",
        paper="Segment Everything Everywhere All at Once",
        learns=False,
        is_zero_shot=True,
        tags=TAGS,
    ),
    SystemSpec(
        "sam",
        (SAM,),
        about="nothing: masks without names from a grid of clicks",
        source="Kirillov et al., ICCV 2023; Ravi et al., 2024",
        paper="Segment Anything; SAM 2: Segment Anything in Images and Videos",
        learns=False,
        is_zero_shot=True,
        tags=TAGS,
        cases=(Case(options=_GRID, words="one"),),
    ),
    SystemSpec(
        "sam3",
        (SAM3,),
        about="nothing: the model as it is",
        source="Carion et al., 2025",
        paper="SAM 3: Segment Anything with Concepts",
        learns=False,
        is_zero_shot=True,
        tags=TAGS,
    ),
)
