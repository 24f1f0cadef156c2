"""RPN on CLIP, with ZegCLIP, VPT, LoRA, LPM-only and the untrained dense CLIP as peers."""

from segtune.systems.rpn.config import LORA, LPM_ONLY, PAPER, RELEASED, VPT, ZEGCLIP, RPNConfig
from segtune.systems.rpn.model import PromptedClip

__all__ = [
    "LORA",
    "LPM_ONLY",
    "PAPER",
    "RELEASED",
    "VPT",
    "ZEGCLIP",
    "PromptedClip",
    "RPNConfig",
]
