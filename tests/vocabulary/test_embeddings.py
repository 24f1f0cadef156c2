"""Text embeddings: the ensemble, truncation, and the cache on disk."""

import torch
import torch.nn.functional as F

from segtune.types import Concept, TemplateSet, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary

VOCABULARY = Vocabulary((Concept("road", ("street",)), Concept("a very long name")), ("sky",))
TEMPLATES = TemplateSet("two", ("a {}", "this is a {}."))


def _slow(clip, names):
    """One sentence at a time, at the full context length."""
    context = clip.model.config.text_config.max_position_embeddings
    rows = []
    for name in names:
        for sentence in TEMPLATES.fill(name):
            ids = clip.tokenize([sentence])
            ids = F.pad(ids, (0, context - ids.shape[1]), value=int(ids[0, -1]))
            rows.append(F.normalize(clip.encode_text(ids)[0], dim=-1))
    return F.normalize(torch.stack(rows).mean(0), dim=-1)


def test_ensemble_over_names_and_templates_at_any_padding(tiny_clip, tmp_path):
    embeds = embed_vocabulary(tiny_clip, VOCABULARY, TEMPLATES, cache=tmp_path)
    slow = [_slow(tiny_clip, n) for n in (("road", "street"), ("a very long name",), ("sky",))]
    torch.testing.assert_close(embeds, torch.stack(slow), atol=1e-5, rtol=1e-5)


def test_cache_is_used_and_keyed_by_everything(tiny_clip, tmp_path, monkeypatch):
    first = embed_vocabulary(tiny_clip, VOCABULARY, TEMPLATES, cache=tmp_path)
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 1
    calls = []
    encode = type(tiny_clip).encode_text
    monkeypatch.setattr(
        type(tiny_clip), "encode_text", lambda self, ids: calls.append(1) or encode(self, ids)
    )
    assert torch.equal(embed_vocabulary(tiny_clip, VOCABULARY, TEMPLATES, cache=tmp_path), first)
    assert not calls
    embed_vocabulary(tiny_clip, VOCABULARY, TemplateSet("x", ("{}",)), cache=tmp_path)
    embed_vocabulary(tiny_clip, Vocabulary.of("road"), TEMPLATES, cache=tmp_path)
    assert len(calls) == 2
    files[0].write_bytes(b"damaged")
    assert torch.equal(embed_vocabulary(tiny_clip, VOCABULARY, TEMPLATES, cache=tmp_path), first)
    assert len(calls) == 3
