"""SSPrompt on SEEM with its parts and baselines, CoOp, LOCN and VSPL; and on SAM, SAM 2 and SAM 3.

Reading order: `spec`, `config` (which prompts), `fusion` (equations 4 and 6), `prompts` and
`text_prompts` (everything learned), `model` (the forward pass), `loss`; then `sam` and `sam3`.
"""
