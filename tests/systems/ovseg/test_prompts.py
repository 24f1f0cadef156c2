import ast

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.clip.text import encode_vectors, word_vectors
from segtune.errors import SegtuneError
from segtune.systems.ovseg.config import SIMBASELINE, OVSegConfig
from segtune.systems.ovseg.prompts import LearnedWords, MaskPrompts, learned_word_embeds
from tests.goldens import close, goldens

NAMES = [("dog", "hound"), ("grass",), ("a red star",)]


def nouns_of(golden) -> list[str]:
    """The nouns of a golden file, which stand in its header as a Python list."""
    return ast.literal_eval(golden.metadata["nouns"])


class GoldenTokenizer:
    """Gives the token ids that the golden file has for its nouns, and those of a full stop."""

    def __init__(self, golden, dot_id: int) -> None:
        rows = golden["in.noun_token_ids"]
        self.ids = {
            noun: row[: int(row.argmax()) + 1].tolist()
            for noun, row in zip(nouns_of(golden), rows, strict=True)
        }
        start, end = rows[0, 0].item(), rows[0].max().item()
        self.ids["."] = [start, dot_id, end]

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        return {"input_ids": self.ids[sentence]}


def golden_clip(golden):
    """The text tower of a golden file with its token table filled up."""
    state = golden.part("sd")
    rows, row_ids = state.pop("token_embedding.rows"), state.pop("token_embedding.row_ids")
    table = torch.zeros(golden.metadata["vocab"], rows.shape[1])
    table[row_ids] = rows
    clip = clip_vit_from_official(state | {"token_embedding.weight": table})
    dot = golden["prompt_sd.dot_signal"][0]
    dot_id = int(row_ids[(rows - dot).abs().sum(1).argmin()])
    assert torch.equal(table[dot_id], dot)
    clip.tokenizer = GoldenTokenizer(golden, dot_id)
    return clip


@pytest.mark.golden
def test_simbaseline_prompt_golden():
    for golden in goldens("simbaseline_prompt"):
        clip = golden_clip(golden)
        prefix = golden["prompt_sd.prefix_prompt"]
        suffix = golden.tensors.get("prompt_sd.suffix_prompt", torch.zeros(0, prefix.shape[1]))
        names = [(noun,) for noun in nouns_of(golden)]
        with torch.no_grad():
            cut = learned_word_embeds(clip, names, prefix=prefix, suffix=suffix)
            whole = full_length_embeds(clip, golden, prefix, suffix)
            plain = F.normalize(clip.encode_text(golden["in.template0.token_ids"]), dim=-1)
        close(cut, golden["out.learnable.text_features"])
        close(whole, golden["out.learnable.text_features"])
        close(plain, golden["out.predefined.text_features"])


def full_length_embeds(clip, golden, prefix, suffix):
    """The released way: every sentence is filled up to the whole context with the pad vector."""
    start, dot, end, pad = (
        golden[f"prompt_sd.{name}_signal"] for name in ("start", "dot", "end", "pad")
    )
    text, embeds = clip.model.text_model, []
    for noun in nouns_of(golden):
        ids = torch.tensor(clip.tokenizer.ids[noun][1:-1])
        parts = [start, prefix, word_vectors(clip, ids), suffix, dot, end]
        sentence = torch.cat(parts)
        last = len(sentence) - 1
        context = clip.model.config.text_config.max_position_embeddings
        sentence = torch.cat([sentence, pad.expand(context - len(sentence), -1)])
        hidden = text.embeddings(inputs_embeds=sentence[None])
        hidden = text.encoder(inputs_embeds=hidden, is_causal=True).last_hidden_state
        embeds.append(clip.model.text_projection(text.final_layer_norm(hidden)[0, last]))
    return F.normalize(torch.stack(embeds), dim=-1)


def test_a_prefix_of_real_words_is_the_sentence(tiny_clip):
    """Word vectors that were not learned but read: "a b dog." is a sentence like any other."""
    words = word_vectors(tiny_clip, torch.tensor([1, 2]))  # "ab"
    nothing = torch.zeros(0, 32)
    with torch.no_grad():
        embeds = learned_word_embeds(tiny_clip, [("dog",)], prefix=words, suffix=nothing)
        sentence = tiny_clip.encode_text(tiny_clip.tokenize(["abdog."]))
        close(embeds, F.normalize(sentence, dim=-1))
        behind = learned_word_embeds(tiny_clip, [("dog",)], prefix=nothing, suffix=words)
        sentence = tiny_clip.encode_text(tiny_clip.tokenize(["dogab."]))
        close(behind, F.normalize(sentence, dim=-1))


def test_synonyms_are_pooled(tiny_clip):
    words = LearnedWords(SIMBASELINE, tiny_clip)
    with torch.no_grad():
        pooled = words(tiny_clip, NAMES)
        dog, hound = words(tiny_clip, [("dog",), ("hound",)])
    close(pooled[0], F.normalize((dog + hound) / 2, dim=-1))
    close(pooled.norm(dim=1), torch.ones(3))


def test_gradients_reach_the_learned_words_only(tiny_clip):
    words = LearnedWords(SIMBASELINE, tiny_clip)
    words(tiny_clip, NAMES)[:, 0].sum().backward()
    assert (words.prefix.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in tiny_clip.parameters())
    assert [tuple(p.shape) for p in words.parameters()] == [(16, 32), (0, 32)]


def test_a_name_that_does_not_fit_is_told(tiny_clip):
    words = LearnedWords(SIMBASELINE, tiny_clip)
    with pytest.raises(SegtuneError, match="with its learned words is 69 tokens long"):
        words(tiny_clip, [("x" * 50,)])


def test_mask_prompts_have_one_token_per_layer_and_patch(tiny_clip):
    prompts = MaskPrompts(OVSegConfig(), tiny_clip).mask_prompts
    assert prompts.shape == (3, 16, 32)
    assert prompts.std().item() == pytest.approx(0.02, rel=0.1)
    shallow = MaskPrompts(OVSegConfig(prompt_depth=1), tiny_clip).mask_prompts
    assert shallow.shape == (1, 16, 32)


def test_prompts_that_came_with_the_weights_are_where_learning_starts(tiny_clip):
    tiny_clip.mask_prompts = torch.randn(3, 16, 32)
    assert torch.equal(MaskPrompts(OVSegConfig(), tiny_clip).mask_prompts, tiny_clip.mask_prompts)
    other = MaskPrompts(OVSegConfig(prompt_depth=2), tiny_clip).mask_prompts
    assert other.shape == (2, 16, 32)
    words = {"prefix": torch.randn(16, 32), "suffix": torch.randn(0, 32)}
    assert torch.equal(LearnedWords(SIMBASELINE, tiny_clip, words).prefix, words["prefix"])


def test_encode_vectors_reads_at_the_end_of_each_sentence(tiny_clip):
    sentences = [torch.randn(5, 32), torch.randn(9, 32)]
    with torch.no_grad():
        both = encode_vectors(tiny_clip, sentences)
        close(both[1], encode_vectors(tiny_clip, sentences[1:])[0])
