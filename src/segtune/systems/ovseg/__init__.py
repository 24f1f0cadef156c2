"""OVSeg on two frozen models, with SimBaseline, ZegFormer and the untrained pair as peers."""

from segtune.systems.ovseg.config import OVSEG, SIMBASELINE, ZEGFORMER, OVSegConfig
from segtune.systems.ovseg.model import PromptedTwoStage

__all__ = ["OVSEG", "SIMBASELINE", "ZEGFORMER", "OVSegConfig", "PromptedTwoStage"]
