"""Rows, logits and probabilities against the public code; names from the words of a vocabulary."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip_convnext.files import clip_convnext_from_official
from segtune.errors import SegtuneError
from segtune.systems.uniovseg.classifier import (
    Rows,
    class_logits,
    class_probs,
    max_over_synonyms,
    synonym_rows,
)
from segtune.types import Concept, TemplateSet, Vocabulary
from tests.goldens import close, goldens


class Sentences:
    """A tokenizer that knows the sentences "<template> <word>" of a golden."""

    def __init__(self, tokens, num_templates):
        self.tokens, self.num_templates = tokens, num_templates

    def __call__(self, sentence):
        template, word = map(int, sentence.split())
        row = self.tokens[word * self.num_templates + template]
        return {"input_ids": row[: int(row.argmax()) + 1].tolist()}


@pytest.mark.golden
def test_rows_and_logits_of_synonyms(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    for golden in goldens("uniovseg_convnext_clip"):
        sizes, out = golden.config, golden.part("outputs")
        clip = clip_convnext_from_official(
            golden.part("state_dict.backbone.clip_model"),
            text_heads=sizes["theads"],
            tokenizer=Sentences(golden["inputs.text_tokens"], sizes["templates"]),
        )
        names = iter(range(sum(sizes["groups"])))
        concepts = []
        for count in sizes["groups"]:
            first, *others = (str(next(names)) for _ in range(count))
            concepts.append(Concept(first, tuple(others)))
        templates = TemplateSet("golden", tuple(f"{i} {{}}" for i in range(sizes["templates"])))
        rows = synonym_rows(clip, Vocabulary(tuple(concepts)), templates)
        assert rows.counts == tuple(sizes["groups"])
        close(rows.embeds, out["text_classifier"])
        regions = F.normalize(out["region_embedding"], dim=-1)
        close(class_logits(regions, rows, temperature=clip.temperature), out["class_logits"])


def test_the_likeliest_synonym_speaks_for_its_class():
    logits = torch.tensor([[1.0, 5.0, 2.0, 3.0]])
    assert max_over_synonyms(logits, (2, 1, 1)).tolist() == [[5.0, 2.0, 3.0]]
    assert max_over_synonyms(logits, (1, 1, 1, 1)) is logits
    assert max_over_synonyms(logits[:0], (1, 3)).shape == (0, 2)


def test_probabilities_of_two_embeddings():
    torch.manual_seed(0)
    rows = Rows(F.normalize(torch.randn(5, 8), dim=-1), (2, 1, 2))
    adapted, frozen = (F.normalize(torch.randn(4, 8), dim=-1) for _ in range(2))
    alone = class_probs(adapted, None, rows, temperature=10.0)
    torch.testing.assert_close(alone.sum(-1), torch.ones(4))
    other = class_probs(frozen, None, rows, temperature=10.0)
    both = class_probs(adapted, frozen, rows, temperature=10.0, frozen_share=0.4)
    torch.testing.assert_close(both, alone**0.6 * other**0.4)
    with pytest.raises(SegtuneError, match="needs the frozen embeddings"):
        class_probs(adapted, None, rows, temperature=10.0, frozen_share=0.4)


def test_a_name_may_belong_to_two_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))

    class Model:
        name, fingerprint, joint_width, device = "model", "x", 3, torch.device("cpu")

        def tokenize(self, sentences):
            return torch.tensor([[len(sentence)] for sentence in sentences])

        def encode_text(self, tokens):
            return torch.cat([tokens, tokens**2, tokens * 0 + 1], 1).float()

    vocabulary = Vocabulary((Concept("bank", ("shore",)), Concept("bench", ("bank",))), ("none",))
    rows = synonym_rows(Model(), vocabulary, TemplateSet("plain", ("{}",)))
    assert rows.counts == (2, 2, 1)
    assert torch.equal(rows.embeds[0], rows.embeds[3])


def test_rows_that_do_not_fit():
    for counts in ((1, 1), (3, 0)):
        with pytest.raises(SegtuneError, match="expected their sum"):
            Rows(torch.zeros(3, 2), counts)
