"""segtune: small prompts for large frozen segmentation models, and masks for any words.

    import segtune
    model = segtune.load()
    prompts = segtune.fit(model, "photos/", system="rpn", shots=16)
    result = model.segment("street.jpg", prompts.vocabulary, prompts=prompts)

Importing the package is light; torch is imported when something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtune.backbones import MODELS as MODELS
    from segtune.data.formats import open_dataset as open_dataset
    from segtune.data.formats import read_vocabulary as read_vocabulary
    from segtune.errors import DataError as DataError
    from segtune.errors import SegtuneError as SegtuneError
    from segtune.errors import WeightsError as WeightsError
    from segtune.eval.run import evaluate as evaluate
    from segtune.fewshot.config import FitConfig as FitConfig
    from segtune.fewshot.fit import fit as fit
    from segtune.predict.once import classify_masks as classify_masks
    from segtune.predict.once import segment as segment
    from segtune.predict.segmenter import Segmenter as Segmenter
    from segtune.predict.segmenter import load as load
    from segtune.prompts import Prompts as Prompts
    from segtune.systems import SYSTEMS as SYSTEMS
    from segtune.train.config import LoopConfig as LoopConfig
    from segtune.types import Concept as Concept
    from segtune.types import Dataset as Dataset
    from segtune.types import Resolution as Resolution
    from segtune.types import Sample as Sample
    from segtune.types import Segmentation as Segmentation
    from segtune.types import Vocabulary as Vocabulary

__version__ = "0.1.0"

_HOME = {
    "Concept": "segtune.types",
    "DataError": "segtune.errors",
    "Dataset": "segtune.types",
    "FitConfig": "segtune.fewshot.config",
    "LoopConfig": "segtune.train.config",
    "MODELS": "segtune.backbones",
    "Prompts": "segtune.prompts",
    "Resolution": "segtune.types",
    "SYSTEMS": "segtune.systems",
    "Sample": "segtune.types",
    "Segmentation": "segtune.types",
    "Segmenter": "segtune.predict.segmenter",
    "SegtuneError": "segtune.errors",
    "Vocabulary": "segtune.types",
    "WeightsError": "segtune.errors",
    "classify_masks": "segtune.predict.once",
    "evaluate": "segtune.eval.run",
    "fit": "segtune.fewshot.fit",
    "load": "segtune.predict.segmenter",
    "open_dataset": "segtune.data.formats",
    "read_vocabulary": "segtune.data.formats",
    "segment": "segtune.predict.once",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'segtune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
