"""SSPrompt on SEEM with its parts and baselines: CoOp, LOCN, VSPL.

Reading order: `config` (which prompts), `fusion` (equations 4 and 6), `prompts` and `text_prompts`
(everything learned), `model` (the forward pass), `loss`.
"""

from segtune.systems.ssprompt.config import PRESETS, SSPROMPT, SSPromptConfig, configure
from segtune.systems.ssprompt.model import PromptedSeem

__all__ = ["PRESETS", "SSPROMPT", "PromptedSeem", "SSPromptConfig", "configure"]
