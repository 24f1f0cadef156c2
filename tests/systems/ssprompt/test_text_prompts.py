"""CoOp and LOCN: which tokens are learned, where they stand, and where they start."""

import pytest
import torch

from segtune.errors import SegtuneError
from segtune.systems.ssprompt.config import configure
from segtune.systems.ssprompt.text_prompts import PLACEHOLDER, ContextPrompt, NamePrompt
from segtune.types import TemplateSet, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary

from .conftest import FIT, shaken

NAMES = ("red star", "grass", "very dark gray square")
"""Names of different length in tokens."""


def context(seem, classes=NAMES, **options):
    prompt = ContextPrompt(configure("coop", {"classes": classes, **options}), seem)
    prompt.start(torch.empty(0), torch.empty(0), torch.Generator().manual_seed(0))
    return prompt


def names(seem, classes=NAMES, **options):
    return NamePrompt(configure("locn", {"classes": classes, **options}), seem)


def name_tokens(seem, name):
    return seem.tokenizer(name)["input_ids"][1:-1]


# -- CoOp ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 16])
def test_sentences_are_start_context_name_dot_end(seem, count):
    prompt = context(seem, context_tokens=count)
    start, *_, end = seem.tokenizer(".")["input_ids"]
    placeholder = name_tokens(seem, PLACEHOLDER)
    assert len(placeholder) == 1
    dot = name_tokens(seem, ".")
    for row, name in zip(prompt.tokens.tolist(), NAMES, strict=True):
        expected = [start, *placeholder * count, *name_tokens(seem, name), *dot, end]
        assert row[: len(expected)] == expected
        assert set(row[len(expected) :]) <= {end}
    assert prompt.context.shape == (count, seem.text.config.width)


def test_only_the_context_differs_from_the_encoded_sentence(seem):
    """With the vectors of the placeholder the result is that of the sentence itself."""
    prompt = context(seem, context_tokens=3)
    word = torch.tensor(name_tokens(seem, PLACEHOLDER))
    with torch.no_grad():
        prompt.context.copy_(seem.text.token_embedding(word).expand(3, -1))
        sentences = [f"x x x {name}." for name in NAMES]
        expected = seem.encode_text(seem.tokenize(sentences))
        torch.testing.assert_close(prompt(seem), expected, atol=1e-6, rtol=0)
        shaken(prompt)
        assert not torch.allclose(prompt(seem), expected, atol=1e-3)


def test_words_start_the_context(seem):
    prompt = context(seem, context_init="a photo of a", context_tokens=16)
    assert prompt.context.shape[0] == len(name_tokens(seem, "a photo of a"))
    expected = embed_vocabulary(
        seem, Vocabulary.of(*NAMES), TemplateSet("t", ("a photo of a {}.",)), use_cache=False
    )
    torch.testing.assert_close(prompt(seem).detach(), expected, atol=1e-6, rtol=0)
    before = prompt.context.detach().clone()
    prompt.start(torch.empty(0), torch.empty(0), torch.Generator())
    assert torch.equal(prompt.context, before)


def test_long_words_of_the_context_count_by_their_tokens(seem):
    lead = "a very grasslike photo of"
    prompt = context(seem, context_init=lead)
    assert prompt.context.shape[0] == len(name_tokens(seem, lead)) > len(lead.split())
    expected = seem.encode_text(seem.tokenize([f"{lead} {name}." for name in NAMES]))
    torch.testing.assert_close(prompt(seem).detach(), expected, atol=1e-6, rtol=0)


def test_random_context_follows_the_seed(seem):
    first, second = context(seem), context(seem)
    assert torch.equal(first.context, second.context)
    assert first.context.std().item() == pytest.approx(0.02, rel=0.2)
    second.start(torch.empty(0), torch.empty(0), torch.Generator().manual_seed(1))
    assert not torch.equal(first.context, second.context)


def test_context_of_its_own_for_every_class(seem):
    prompt = context(seem, context_tokens=4, context_per_class=True)
    assert prompt.context.shape == (3, 4, seem.text.config.width)
    before = prompt(seem).detach()
    with torch.no_grad():
        prompt.context[1] *= -3
    changed = (prompt(seem) - before).abs().amax(1) > 1e-4
    assert changed.tolist() == [False, True, False]
    started = context(seem, context_init="a photo of", context_per_class=True)
    assert torch.equal(started.context[0], started.context[2])


def test_a_shared_context_changes_every_class(seem):
    prompt = context(seem, context_tokens=4)
    prompt(seem)[0].sum().backward()
    assert prompt.context.grad.abs().sum() > 0
    before = prompt(seem).detach()
    shaken(prompt)
    assert ((prompt(seem) - before).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("kind", ["context", "names"])
def test_truncated_sentences_give_what_full_length_gives(seem, kind):
    """Specification j.6: the encoder is causal, so what follows the end changes nothing."""
    prompt = context(seem, context_tokens=5) if kind == "context" else names(seem)
    shaken(prompt, by=0.02)
    short = prompt(seem).detach()
    length = seem.text.config.context_length
    missing = length - prompt.tokens.shape[1]
    assert missing > 10
    pad = torch.nn.functional.pad
    end = seem.text.end_of(prompt.tokens)
    tokens = pad(prompt.tokens, (0, missing), value=seem.text.end_id)
    embeds = seem.text.token_embedding(tokens)
    if kind == "context":
        embeds[:, 1:6] = prompt.context.detach()
    else:
        place = pad(prompt.place, (0, missing), value=-1)
        embeds[place >= 0] = prompt.names.detach()[place[place >= 0]]
    hidden = seem.text.hidden_states(embeds)  # all positions, unlike encode_embeddings
    features = hidden[torch.arange(len(end)), end] @ seem.text.projection
    full = features / features.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(short, full, atol=1e-6, rtol=0)


def test_a_context_that_the_encoder_cannot_read_is_refused(seem):
    with pytest.raises(SegtuneError, match="tokens long but"):
        context(seem, context_tokens=seem.text.config.context_length)


# -- LOCN ---------------------------------------------------------------------------------------


def test_learned_names_start_at_the_embedding_of_the_template(seem):
    template = "a photo of a {}."
    expected = embed_vocabulary(
        seem, Vocabulary.of(*NAMES), TemplateSet("t", (template,)), use_cache=False
    )
    prompt = names(seem, name_templates=[template])
    torch.testing.assert_close(prompt(seem).detach(), expected, atol=1e-6, rtol=0)
    assert len(prompt.names) == sum(len(name_tokens(seem, name)) for name in NAMES)


def test_several_templates_are_averaged_and_share_the_names(seem):
    templates = ("{}", "a photo of a {}.", "there is a {} in the picture")
    expected = embed_vocabulary(
        seem, Vocabulary.of(*NAMES), TemplateSet("t", templates), use_cache=False
    )
    prompt = names(seem, name_templates=templates)
    torch.testing.assert_close(prompt(seem).detach(), expected, atol=1e-6, rtol=0)
    assert len(prompt.names) == len(names(seem).names)


def test_a_name_is_found_behind_equal_words_of_the_template(seem):
    """Only the second "photo" of "a photo of a photo." is learned."""
    prompt = names(seem, ("photo",))
    ids = seem.tokenizer("a photo of a photo.")["input_ids"]
    photo = name_tokens(seem, "photo")
    first = len(seem.tokenizer("a photo of a")["input_ids"]) - 1
    learned = (prompt.place[0] >= 0).nonzero()[:, 0].tolist()
    assert learned == list(range(first, first + len(photo)))
    assert [ids[i] for i in learned] == photo


def test_a_name_changes_its_own_class_only(seem):
    prompt = names(seem)
    before = prompt(seem).detach()
    rows = len(name_tokens(seem, NAMES[0]))
    with torch.no_grad():
        prompt.names[rows] *= -3  # the first token of the second name
    changed = (prompt(seem) - before).abs().amax(1) > 1e-4
    assert changed.tolist() == [False, True, False]


def test_everything_but_the_name_stays_frozen(seem):
    prompt = names(seem, FIT)
    prompt(seem)[:, :4].sum().backward()
    assert [name for name, _ in prompt.named_parameters()] == ["names"]
    assert (prompt.names.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in seem.parameters())


def test_a_name_glued_to_the_template_is_refused(seem):
    with pytest.raises(SegtuneError, match="put a space"):
        names(seem, ("ass",), name_templates=["gr{}"])


def test_no_classes(seem):
    for prompt in (context(seem, ()), context(seem, (), context_init="a photo"), names(seem, ())):
        assert prompt(seem).shape == (0, seem.joint_width)
