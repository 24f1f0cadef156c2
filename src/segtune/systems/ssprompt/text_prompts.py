"""The baselines that learn inside of the text encoder: CoOp and LOCN.

CoOp: "Learning to Prompt for Vision-Language Models", Zhou et al., IJCV 2022. LOCN: "Learning to
Name Classes for Vision and Language Models", Parisot et al., CVPR 2023. Both run the frozen text
encoder in every step; sentences are cut after the longest end-of-text, which changes nothing
because the encoder is causal.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.seem.model import Seem
from segtune.errors import SegtuneError
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.fusion import INIT_STD

PLACEHOLDER = "x"
"""A word of one token that holds the place of a learned one."""


class ContextPrompt(nn.Module):
    """CoOp: M learned word vectors before the class name, "[v1] ... [vM] name.".

    Attributes:
        context: (M, D) shared by all classes, or (K, M, D).
    """

    tokens: Tensor  # (K, T) int64
    end: Tensor  # (K,) int64

    def __init__(self, config: SSPromptConfig, backbone: Seem) -> None:
        super().__init__()
        words = config.context_init.split()
        count = len(words) or config.context_tokens
        lead = " ".join(words or [PLACEHOLDER] * count)
        tokens = _tokens([f"{lead} {name}." for name in config.classes], backbone)
        self.register_buffer("tokens", tokens, persistent=False)
        start = torch.zeros(count, backbone.text.config.width)
        if words:
            start = backbone.text.token_embedding(_tokens([lead], backbone)[0, 1:-1]).detach()
        if config.context_per_class:
            start = start.expand(len(config.classes), -1, -1)
        self.context = nn.Parameter(start.clone())
        self._is_random = not words

    def start(self, default: Tensor, background: Tensor, generator: torch.Generator) -> None:
        """Draws the context; the default class embeddings play no part."""
        del default, background
        if self._is_random:
            with torch.no_grad():
                drawn = torch.randn(self.context.shape, generator=generator) * INIT_STD
                self.context.copy_(drawn)

    def forward(self, backbone: Seem) -> Tensor:
        """Returns the class embeddings (K, k), unit length."""
        embeds = backbone.text.token_embedding(self.tokens)  # (K, T, D)
        context = self.context if self.context.ndim == 3 else self.context[None]
        context = context.expand(len(embeds), -1, -1)
        after = 1 + context.shape[1]
        embeds = torch.cat([embeds[:, :1], context, embeds[:, after:]], 1)
        return backbone.text.encode_embeddings(embeds, backbone.text.end_of(self.tokens))


class NamePrompt(nn.Module):
    """LOCN: the word vectors of the class names themselves, inside hand-written sentences.

    Attributes:
        names: (sum of name lengths, D), the vectors of all names one after the other.
    """

    tokens: Tensor  # (K * S, T) int64, S sentences per class
    place: Tensor  # (K * S, T) int64, row of `names` that stands here, -1 where none does

    def __init__(self, config: SSPromptConfig, backbone: Seem) -> None:
        super().__init__()
        self.num_sentences = len(config.name_templates)
        templates = config.name_templates
        sentences = [each.replace("{}", name) for name in config.classes for each in templates]
        tokens = _tokens(sentences, backbone)
        place = torch.full_like(tokens, -1)
        rows: list[Tensor] = []
        used = 0
        for k, name in enumerate(config.classes):
            bare = _tokens([name], backbone)[0]
            bare = bare[1 : int(backbone.text.end_of(bare[None])[0])]  # without start and end
            for s, template in enumerate(templates):
                row = k * self.num_sentences + s
                first = len(_tokens([template.partition("{}")[0]], backbone)[0]) - 1
                here = slice(first, first + len(bare))
                if not torch.equal(tokens[row, here], bare):
                    raise SegtuneError(
                        f"{name!r} is read differently inside of {sentences[row]!r}; put a space "
                        "before {} in name_templates"
                    )
                place[row, here] = torch.arange(used, used + len(bare)).to(place)
            rows.append(backbone.text.token_embedding(bare).detach())
            used += len(bare)
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("place", place, persistent=False)
        empty = torch.zeros(0, backbone.text.config.width, device=backbone.device)
        self.names = nn.Parameter(torch.cat([empty, *rows]))

    def start(self, default: Tensor, background: Tensor, generator: torch.Generator) -> None:
        """Does nothing: names start at their own word vectors."""

    def forward(self, backbone: Seem) -> Tensor:
        """Returns the class embeddings (K, k), unit length: the mean over the sentences."""
        embeds = backbone.text.token_embedding(self.tokens)  # (K S, T, D)
        learned = self.names[self.place.clamp(min=0)]
        embeds = torch.where((self.place >= 0)[..., None], learned, embeds)
        encoded = backbone.text.encode_embeddings(embeds, backbone.text.end_of(self.tokens))
        if self.num_sentences == 1:
            return encoded
        return F.normalize(encoded.unflatten(0, (-1, self.num_sentences)).mean(1), dim=-1)


def _tokens(sentences: list[str], backbone: Seem) -> Tensor:
    """Returns (N, T) token ids on the device of the model, cut after the longest sentence."""
    if not sentences:
        return torch.zeros(0, 2, dtype=torch.long, device=backbone.device)
    tokens = backbone.tokenize(sentences).to(backbone.device)
    return tokens[:, : int(backbone.text.end_of(tokens).max()) + 1]
