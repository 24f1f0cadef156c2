"""RPN on CLIP, with ZegCLIP, VPT, LoRA, LPM-only and the untrained dense CLIP as peers.

Reading order: `spec`, `config` (which prompts and which head), `prompts` (everything learned),
`model` (the forward pass), `encoder`, `relationship`, `heads`, `loss`.
"""
