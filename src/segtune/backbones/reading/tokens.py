"""From sentences to token ids, with the messages for what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segtune.errors import SegtuneError, WeightsError


def token_ids(
    tokenizer: Any | None, sentences: Sequence[str], *, context: int, name: str, padding: int = 0
) -> Tensor:
    """Returns (M, longest) int64 token ids, padded after the end-of-text token.

    Args:
        tokenizer: of transformers; None where the model has none.
        context: longest sentence in tokens.
        name: of the model, for messages.
        padding: id that fills shorter sentences up.

    Raises:
        WeightsError: there is no tokenizer.
        SegtuneError: a sentence does not fit the context.
    """
    if tokenizer is None:
        raise WeightsError(
            f"{name} has no tokenizer files beside its weights; put tokenizer.json (or vocab.json "
            "and merges.txt) into its folder, or pass tokenizer=FOLDER"
        )
    ids = [tokenizer(sentence)["input_ids"] for sentence in sentences]
    for sentence, tokens in zip(sentences, ids, strict=True):
        if len(tokens) > context:
            raise SegtuneError(
                f"{sentence[:60]!r}... is {len(tokens)} tokens long but {name} reads {context}; "
                "use a shorter name or template"
            )
    longest = max(map(len, ids), default=0)
    padded = [tokens + [padding] * (longest - len(tokens)) for tokens in ids]
    return torch.tensor(padded, dtype=torch.long).reshape(len(ids), longest)
