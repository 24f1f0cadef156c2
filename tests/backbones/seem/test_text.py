"""The text tower against the official code, truncation, and learning through its embeddings."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.reading.key_tables import load_strictly
from segtune.backbones.seem.keys import text_config_from, text_from_official, text_to_official
from segtune.backbones.seem.text import SeemText, SeemTextConfig, class_name
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import close, goldens

END = 29
TINY = SeemTextConfig(
    width=16,
    num_layers=2,
    num_heads=2,
    feedforward=32,
    context_length=8,
    vocab_size=END + 1,
    joint_width=12,
)
PROMPTS = torch.tensor(
    [
        [28, 3, END, END, END, END, END, END],
        [28, 3, 4, 5, END, END, END, END],
        [28, END, 7, END, 1, 2, 3, 4],  # what follows the first end is ignored
    ]
)


@pytest.fixture
def text():
    torch.manual_seed(0)
    model = SeemText(TINY).eval()
    for parameter in model.parameters():  # biases and norms too
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.golden
def test_official_outputs():
    for golden in goldens("seem_language"):
        state, out, sizes = golden.part("state"), golden.part("out"), golden.config
        text = SeemText(text_config_from(state, num_heads=sizes["heads"]))
        load_strictly(text, text_from_official(state), "seem_language")
        tokens = golden.part("in")["input_ids"]
        embeds = text.encode_text(tokens)
        close(embeds, out["text_embed_normalized"])
        hidden = text.hidden_states(text.token_embedding(tokens))
        close(hidden, out["last_hidden_state"])
        close(hidden @ text.projection, out["token_embed_unnormalized"])

        classes = embeds.unflatten(0, (-1, sizes["num_templates"])).mean(1)
        classes = F.normalize(classes, dim=-1)
        close(classes, out["class_text_embeddings"])
        visual = F.normalize(golden.part("in")["visual_embedding"], dim=-1)
        close(text.logit_scale.exp() * visual @ classes.T, out["logits"])

        back = text_to_official(text.state_dict())
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


def test_parameter_count_of_the_published_size():
    with torch.device("meta"):
        text = SeemText(SeemTextConfig())
    assert sum(p.numel() for p in text.parameters()) / 1e6 == pytest.approx(63.4, abs=0.05)


def test_every_prompt_alone_and_cut_gives_the_same(text):
    together = text.encode_text(PROMPTS)
    assert together.shape == (3, 12)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    for row, prompt in enumerate(PROMPTS):
        length = prompt.tolist().index(END) + 1
        alone = text.encode_text(prompt[None, :length])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-6, rtol=1e-5)
        # The long way: all columns, read at the first end.
        hidden = text.transformer(input_ids=PROMPTS).last_hidden_state[row, length - 1]
        slow = F.normalize(hidden @ text.projection, dim=0)
        torch.testing.assert_close(together[row], slow, atol=1e-6, rtol=1e-5)


def test_gradients_reach_embeddings_of_frozen_text(text):
    text.requires_grad_(False)
    embeds = text.token_embedding(PROMPTS).clone().requires_grad_()
    end = torch.tensor([2, 4, 1])
    encoded = text.encode_embeddings(embeds, end)
    torch.testing.assert_close(encoded, text.encode_text(PROMPTS))
    encoded[:, 0].sum().backward()
    used = embeds.grad.abs().sum(-1) > 0
    assert used.tolist() == [[column <= last for column in range(8)] for last in end.tolist()]
    assert all(p.grad is None for p in text.parameters())


def test_no_prompts(text):
    assert text.encode_text(PROMPTS[:0]).shape == (0, 12)
    assert text.encode_embeddings(torch.zeros(0, 4, 16), end=PROMPTS[:0, 0]).shape == (0, 12)


def test_a_prompt_without_an_end_is_refused(text):
    with pytest.raises(SegtuneError, match=r"prompts \[1\] have no end-of-text token \(29\)"):
        text.encode_text(torch.tensor([[28, END], [28, 3]]))


def test_a_prompt_that_is_too_long_is_refused(text):
    with pytest.raises(SegtuneError, match="9 tokens but the text encoder reads 8"):
        text.encode_embeddings(torch.zeros(1, 9, 16), torch.tensor([8]))
    long = torch.tensor([[28, END, *[END] * 20]])  # only padding is too long
    assert text.encode_text(long).shape == (1, 12)


def test_there_and_back(text):
    official = text_to_official(text.state_dict())
    assert text_config_from(official, num_heads=2) == TINY
    load_strictly(SeemText(TINY), text_from_official(official), "file")
    official.pop("lang_proj")
    with pytest.raises(WeightsError, match="nothing stands for lang_proj"):
        text_config_from(official)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("road", "road"),
        ("", ""),
        ("tree-merged", "tree"),
        ("wall-other-merged", "wall"),
        ("water-other", "water"),
        ("wall-stuff", "wall"),
        ("other", "other"),
    ],
)
def test_class_name(name, expected):
    assert class_name(name) == expected
