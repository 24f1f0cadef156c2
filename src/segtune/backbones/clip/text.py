"""CLIP's text tower from word vectors on, for prompts that are vectors and not words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segtune.backbones.clip.model import ClipVit
from segtune.errors import SegtuneError


def word_vectors(clip: ClipVit, token_ids: Tensor) -> Tensor:
    """Returns the vectors (..., D) of token ids (...), before positions are added."""
    return clip.model.text_model.embeddings.token_embedding(token_ids.to(clip.device))


def bare_tokens(clip: ClipVit, text: str) -> Tensor:
    """Returns the token ids (L,) of a text, without start and end."""
    return clip.tokenize([text])[0, 1:-1].to(clip.device)


def encode_vectors(clip: ClipVit, sentences: Sequence[Tensor]) -> Tensor:
    """Returns the embeddings (M, k) of sentences of word vectors, not normalised.

    The tower is causal and read at the last vector of each sentence, so sentences are padded to the
    longest of them and no further; that changes nothing. Gradients reach the vectors.

    Args:
        sentences: M tensors (L, D), from the start token to the end-of-text token.

    Raises:
        SegtuneError: a sentence is longer than the context of the tower.
    """
    if not sentences:
        return torch.zeros(0, clip.joint_width, device=clip.device)
    context = clip.model.config.text_config.max_position_embeddings
    lengths = [len(sentence) for sentence in sentences]
    if max(lengths) > context:
        raise SegtuneError(
            f"a class name with its learned words is {max(lengths)} tokens long but {clip.name} "
            f"reads {context}; use a shorter name or fewer learned words"
        )
    padded = torch.nn.utils.rnn.pad_sequence(list(sentences), batch_first=True)  # (M, T, D)
    text = clip.model.text_model
    hidden = text.embeddings(inputs_embeds=padded)
    hidden = text.encoder(inputs_embeds=hidden, is_causal=True).last_hidden_state
    hidden = text.final_layer_norm(hidden)
    ends = torch.tensor(lengths, device=hidden.device) - 1
    return clip.model.text_projection(hidden[torch.arange(len(ends), device=ends.device), ends])
