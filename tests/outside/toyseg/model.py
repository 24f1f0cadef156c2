"""The frozen model: a colour and a word are points in one space of `width` numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from segtune.backbones.base import fingerprint_of

LONGEST = 40


class Toy(nn.Module):
    kind = "toy"
    uses_windows = False
    background_word = None

    def __init__(self, width: int, *, name: str = "toy") -> None:
        super().__init__()
        self.name, self.joint_width, self.dense_size, self.patch_size = name, width, 32, 1
        self.colour = nn.Linear(3, width)
        self.letters = nn.Embedding(256, width)
        self.requires_grad_(False).eval()

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.state_dict())

    @property
    def device(self) -> torch.device:
        return self.colour.weight.device

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        rows = [list(sentence.encode()[:LONGEST].ljust(LONGEST)) for sentence in sentences]
        return torch.tensor(rows)

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.letters(tokens).mean(1)


def load(path: Path, *, tokenizer: Any = None) -> Toy:
    model = Toy(json.loads((path / "config.json").read_text())["width"], name=path.name)
    model.load_state_dict(load_file(path / "model.safetensors"))
    return model


def tiny(*, seed: int = 0, tokenizer: Any = None) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy(8)
