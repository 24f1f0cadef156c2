"""What two-stage systems learn: tokens for blank patches, or words around the class name.

Mask prompts are OVSeg's (section 3.3; used by `backbones.masked_clip`), learned words SimBaseline's
(section 3.2 of that paper and the released code).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.clip.text import bare_tokens, encode_vectors, word_vectors
from segtune.systems.ovseg.config import OVSegConfig

INIT_STD = 0.02
"""Of both kinds of prompts, as released."""
NAMES_AT_ONCE = 256
"""Class names that are encoded together."""


class MaskPrompts(nn.Module):
    """Tokens that take the place of blank patches.

    Attributes:
        mask_prompts: (D, N, d), one per prompted layer and position. Those that came with the CLIP
            where they are of this depth, else N(0, 0.02).
    """

    def __init__(self, config: OVSegConfig, clip: ClipVit) -> None:
        super().__init__()
        given = clip.mask_prompts
        depth = min(config.prompt_depth, clip.num_layers)
        num_patches = (clip.image_size // clip.patch_size) ** 2
        if given is not None and len(given) == depth:
            start = given.detach().clone()
        else:
            start = INIT_STD * torch.randn(depth, num_patches, clip.width)
        self.mask_prompts = nn.Parameter(start)


class LearnedWords(nn.Module):
    """Word vectors around the class name: "[start] prefix name suffix . [end]".

    Attributes:
        prefix: (P, D).
        suffix: (S, D).
    """

    prefix: nn.Parameter
    suffix: nn.Parameter

    def __init__(
        self, config: OVSegConfig, clip: ClipVit, given: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        width = clip.model.config.text_config.hidden_size
        lengths = {"prefix": config.prefix_tokens, "suffix": config.suffix_tokens}
        for name, length in lengths.items():
            start = INIT_STD * torch.randn(length, width)
            if given and given[name].shape == start.shape:
                start = given[name].detach().clone()
            self.register_parameter(name, nn.Parameter(start))

    def forward(self, clip: ClipVit, names: Sequence[Sequence[str]]) -> Tensor:
        """Returns the class embeddings (K, k), unit length, of the names of each class."""
        return learned_word_embeds(clip, names, prefix=self.prefix, suffix=self.suffix)


def learned_word_embeds(
    clip: ClipVit, names: Sequence[Sequence[str]], *, prefix: Tensor, suffix: Tensor
) -> Tensor:
    """Returns class embeddings (K, k), unit length: the normalised mean over the names of a class.

    Start token, full stop and end-of-text keep the word vectors of the frozen tower.

    Args:
        clip: reads the names; needs a tokenizer.
        names: name and synonyms of K classes.
        prefix: (P, D) word vectors before every name.
        suffix: (S, D) word vectors between name and full stop.

    Raises:
        SegtuneError: a name does not fit the context of the tower beside the learned words.
    """
    stop = clip.tokenize(["."])[0]  # start, full stop, end-of-text
    start, dot, end = (row[None] for row in word_vectors(clip, stop))
    every = sorted({name for group in names for name in group})
    encoded = []
    for first in range(0, len(every), NAMES_AT_ONCE):
        sentences = []
        for name in every[first : first + NAMES_AT_ONCE]:
            vectors = word_vectors(clip, bare_tokens(clip, name))
            sentences.append(torch.cat([start, prefix, vectors, suffix, dot, end]))
        encoded.append(F.normalize(encode_vectors(clip, sentences).float(), dim=-1))
    rows = dict(zip(every, torch.cat(encoded), strict=True))
    means = [torch.stack([rows[name] for name in group]).mean(0) for group in names]
    return F.normalize(torch.stack(means), dim=-1)
