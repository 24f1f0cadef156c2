"""Checkpoint files for the tests of their readers: TorchScript, and archives changed by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """The part of a CLIP block that has no layers of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.randn(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(x @ self.in_proj_weight[: x.shape[-1]])


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = Attention(width)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )
        self.ln_2 = nn.LayerNorm(width)
        self.attn_mask = torch.zeros(4, 4)  # no buffer: not part of the state

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x)) + self.attn_mask.sum()
        return x + self.mlp["c_proj"](self.mlp["c_fc"](self.ln_2(x)))


class Tower(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)


class Visual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(5, width))
        self.proj = nn.Parameter(torch.randn(width, 8))
        self.conv1 = nn.Conv2d(3, width, 4, 4, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Tower(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.transformer(self.ln_pre(x)) @ self.proj


class OfficialClip(nn.Module):
    """A CLIP under the names of OpenAI's files, in half precision as they are."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(7, width))
        self.text_projection = nn.Parameter(torch.randn(width, 8))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        self.visual = Visual(width)
        self.transformer = Tower(width, 1)
        self.token_embedding = nn.Embedding(20, width)
        self.ln_final = nn.LayerNorm(width)
        self.tied = self.ln_final  # one module under two names
        self.scales, self.words, self.limit = [1.0, 2.0], {"a": 1}, 77
        for name, value in (("input_resolution", 8), ("context_length", 7), ("vocab_size", 20)):
            self.register_buffer(name, torch.tensor(value))
        self.register_buffer("seen", torch.tensor([True, False, True]))

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.visual(x)[..., :1] * self.scales[0] + self.words["a"] + self.limit)


class WritesWhenLoaded(nn.Module):
    """Packs itself by code, and its `__setstate__` writes a file: what an attacker would save."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor]:
        return (self.target, self.weight)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor]) -> None:
        self.target = state[0]
        self.training = False
        torch.save(state[1], state[0])
        self.weight = state[1]


def save_script(module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Writes a module as a TorchScript archive; returns the state that torch reads from it."""
    torch.jit.script(module.eval()).save(str(path))
    return dict(torch.jit.load(str(path)).state_dict())


def rewrite(
    source: Path,
    target: Path,
    *,
    change: Mapping[str, Callable[[bytes], bytes | None]],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Copies an archive; entries whose name ends like a key are changed, or left out for None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            content: bytes | None = old.read(name)
            for ending, function in change.items():
                if name.endswith(ending):
                    content = function(content or b"")
            if content is not None:
                new.writestr(name, content)
    return target
