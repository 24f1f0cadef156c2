"""Text embeddings of a vocabulary, computed once and kept on disk.

One unit vector per class: every name and synonym is put into every template, encoded and
normalised; the mean is normalised again (the ensemble of CLIP's zero-shot recipe). Sentences are
encoded at the length of the longest one of their batch, which changes nothing because the text
tower is causal.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from segtune.backbones.base import FrozenReader
from segtune.errors import WeightsError
from segtune.storage.files import atomic_write, cache_dir
from segtune.storage.weights import read_safetensors
from segtune.types import TemplateSet, Vocabulary

BATCH = 256
"""Sentences that are encoded together."""


def embed_vocabulary(
    model: FrozenReader,
    vocabulary: Vocabulary,
    templates: TemplateSet,
    *,
    cache: Path | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Returns (K + negatives, k) unit vectors on the device of the model, negatives last.

    Args:
        model: the frozen model; its fingerprint is part of the cache key.
        vocabulary: K concepts and possibly negatives.
        templates: sentences around the names.
        cache: folder; `cache_dir()` where None.
        use_cache: False neither reads nor writes files.
    """
    groups = [concept.names for concept in vocabulary] + [(word,) for word in vocabulary.negatives]
    if not use_cache:
        return _encode(model, groups, templates)
    key = json.dumps([groups, templates.sentences, "v1"], ensure_ascii=False)
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    file = (cache or cache_dir()) / "text" / model.fingerprint / f"{name}.safetensors"
    stored = _read(file, rows=len(groups), width=model.joint_width)
    if stored is not None:
        return stored.to(model.device)
    embeds = _encode(model, groups, templates)
    if os.access(_existing_parent(file), os.W_OK):  # a read-only home just means no cache
        with atomic_write(file) as temporary:
            temporary.write_bytes(save({"embeds": embeds.cpu().contiguous()}))
    return embeds


def _read(file: Path, *, rows: int, width: int) -> Tensor | None:
    """A cached matrix; None where it is absent, damaged or of another size."""
    if not file.is_file():
        return None
    try:
        embeds = read_safetensors(file)[0].get("embeds")
    except (OSError, WeightsError):  # a damaged cache entry is rebuilt
        return None
    return embeds if embeds is not None and embeds.shape == (rows, width) else None


def _existing_parent(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


@torch.no_grad()
def _encode(model: FrozenReader, groups: list[tuple[str, ...]], templates: TemplateSet) -> Tensor:
    filled = [[s for name in names for s in templates.fill(name)] for names in groups]
    # Equal lengths together: less padding, and each sentence is encoded once.
    sentences = sorted({s for group in filled for s in group}, key=lambda s: (len(s), s))
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    rows = []
    starts = range(0, len(sentences), BATCH)
    for start in tqdm(starts, "encode words", disable=None if len(starts) > 20 else True):
        tokens = model.tokenize(sentences[start : start + BATCH])
        rows.append(F.normalize(model.encode_text(tokens).float(), dim=-1))
    encoded = torch.cat(rows)
    means = [encoded[[row_of[s] for s in group]].mean(0) for group in filled]
    return F.normalize(torch.stack(means), dim=-1)
