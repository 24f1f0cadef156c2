"""OVSeg on two frozen models, with SimBaseline, ZegFormer and the untrained pair as peers.

Reading order: `spec`, `config` (which regions and which fusion), `regions`, `prompts` (everything
learned), `model` (the forward pass), `loss`.
"""
