"""The frozen models, by kind. Listing them imports no model code; `hub.load_backbone` does.

A model is one folder with a `spec.py`, and one line in `MODELS`. Other packages add theirs by
entry points of the group `segtune.models`, each of which names one `ModelSpec` or a list of them.
"""

from __future__ import annotations

from segtune.backbones.clip.spec import CLIP_VIT
from segtune.backbones.clip_convnext.spec import CLIP_CONVNEXT
from segtune.backbones.mask2former.spec import MASK2FORMER
from segtune.backbones.maskformer.spec import MASKFORMER
from segtune.backbones.sam.spec import SAM, SAM3
from segtune.backbones.seem.spec import SEEM
from segtune.backbones.spec import Capability, ModelSpec
from segtune.backbones.two_stage.spec import HF_PROPOSALS, TWO_STAGE
from segtune.backbones.uniovseg.spec import UNIOVSEG
from segtune.errors import listed
from segtune.storage.registry import Registry

MODELS = Registry[ModelSpec](
    "kind of model",
    (
        CLIP_VIT,
        CLIP_CONVNEXT,
        SEEM,
        TWO_STAGE,
        MASKFORMER,
        MASK2FORMER,
        HF_PROPOSALS,
        SAM,
        SAM3,
        UNIOVSEG,
    ),
    group="segtune.models",
)
"""Kind -> everything that is declared about it."""


def models_that_can(capability: Capability) -> str:
    """Returns the models that can do something, as a sentence names them.

    Example:
        >>> models_that_can("points")
        'SEEM, SAM, SAM 2 or Uni-OVSeg'
    """
    return listed([t for spec in MODELS.values() if capability in spec.can for t in spec.titles])
