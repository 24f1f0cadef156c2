"""The nouns that every room speaks: samples, vocabularies, predictions and results.

`Prompts`, the file of everything learned, is in `segtune.prompts`; reading vocabularies from text
and files is in `segtune.vocabulary`. Nothing here imports torch: tensors appear only as types.

Shape letters: B images, N instances, K classes, Q queries, H W image pixels, h w feature grid.
"""

from segtune.types.decisions import DecidePixels, Decision, MaskRule, SumAtOriginal, SumAtResized
from segtune.types.predictions import Features, MaskPrediction
from segtune.types.results import Segment, Segmentation, Task
from segtune.types.samples import IGNORE, Dataset, Instance, Sample
from segtune.types.sizes import Geometry, Resolution
from segtune.types.vocabulary import Concept, Kind, TemplateSet, Vocabulary

__all__ = [
    "IGNORE",
    "Concept",
    "Dataset",
    "DecidePixels",
    "Decision",
    "Features",
    "Geometry",
    "Instance",
    "Kind",
    "MaskPrediction",
    "MaskRule",
    "Resolution",
    "Sample",
    "Segment",
    "Segmentation",
    "SumAtOriginal",
    "SumAtResized",
    "Task",
    "TemplateSet",
    "Vocabulary",
]
