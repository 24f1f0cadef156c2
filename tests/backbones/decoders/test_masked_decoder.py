"""The masked-attention decoder against the official SEEM and SegPrompt code, and its promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.backbones.decoders.masked_decoder import DecoderMemory, MaskedDecoder
from segtune.backbones.decoders.query_groups import (
    ExtraTokens,
    QueryGroup,
    RunningGroup,
    visibility,
)
from segtune.backbones.mask2former.files import decoder_from_official as mask2former_decoder
from segtune.backbones.reading.key_tables import load_strictly
from segtune.backbones.seem.decoder_keys import (
    decoder_from_official,
    decoder_sizes_from,
    decoder_to_official,
)
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import DEEP_STEPS, Golden, close, goldens, notices_every_weight


def official_decoder(golden: Golden) -> MaskedDecoder:
    state = golden.part("state")
    decoder = MaskedDecoder(**decoder_sizes_from(state, num_heads=golden.config["nheads"]))
    load_strictly(decoder, decoder_from_official(state)[0], "golden")
    return decoder.requires_grad_(False)


def maps_of(inputs: dict[str, Tensor], name: str = "multi_scale_") -> list[Tensor]:
    return [inputs[f"{name}{level}"] for level in range(3)]


@pytest.mark.golden
@pytest.mark.parametrize("keep_keys", [False, True])
@pytest.mark.parametrize("resize", ["first", "after"])
def test_every_head_is_the_official_one(resize, keep_keys):
    for golden in goldens("seem_decoder"):
        decoder, given, out = official_decoder(golden), golden.part("in"), golden.part("out")
        memory = decoder.prepare(
            maps_of(given), given["mask_features"], keep_keys=keep_keys, resize=resize
        )
        found = decoder(
            memory,
            decoder.query_content,
            decoder.query_position,
            text=given["class_text_embeddings"],
            deep_supervision=True,
        )
        close(found.class_logits, out["seg/pred_logits"])
        close(found.mask_logits, out["seg/pred_masks"])
        assert len(found.aux) == golden.config["dec_layers"]
        for i, step in enumerate(found.aux):
            close(step.class_logits, out[f"seg/aux{i}/pred_logits"])
            close(step.mask_logits, out[f"seg/aux{i}/pred_masks"])
        class_probs = found.class_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("bqk,bqhw->bkhw", class_probs, found.mask_logits.sigmoid())
        close(scores, out["seg/semantic_scores"])


@pytest.mark.golden
def test_grounding_tokens_and_their_copies_are_the_official_ones():
    for golden in goldens("seem_decoder"):
        decoder, given, out = official_decoder(golden), golden.part("in"), golden.part("out")
        memory = decoder.prepare(maps_of(given), given["mask_features"])
        words = given["grounding_tokens"].transpose(0, 1)
        tokens = ExtraTokens(words, words, given["grounding_nonzero_mask"], see_queries=True)
        tables = decoder.query_content, decoder.query_position
        plain, grounded = decoder.answer(
            memory,
            [QueryGroup(*tables), QueryGroup(*tables, tokens)],
            text=given["class_text_embeddings"],
        )
        close(plain.class_logits, out["grounding/pred_logits"])
        close(plain.mask_logits, out["grounding/pred_masks"])
        close(grounded.mask_logits, out["grounding/pred_gmasks"])
        expected = F.normalize(out["grounding/pred_gtexts"], dim=-1)
        close(grounded.class_embeds, expected)


@pytest.mark.golden
def test_gradients_of_prompts_are_the_official_ones():
    for golden in goldens("seem_decoder"):
        decoder, given, out = official_decoder(golden), golden.part("in"), golden.part("out")
        memory = decoder.prepare(maps_of(given), given["mask_features"])
        content = decoder.query_content.clone().requires_grad_()
        position = decoder.query_position.clone().requires_grad_()
        text = given["class_text_embeddings"].clone().requires_grad_()
        answers = decoder(memory, content, position, text=text)
        class_probs = answers.class_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("bqk,bqhw->bkhw", class_probs, answers.mask_logits.sigmoid())
        scores = scores.clamp(min=1e-6)
        log_probs = (scores / scores.sum(1, keepdim=True)).log()
        loss = F.nll_loss(log_probs, given["semantic_target"], ignore_index=255)
        close(loss, out["grad/loss"])
        loss.backward()
        close(content.grad, out["grad/query_feat"])
        close(position.grad, out["grad/query_embed"])
        close(text.grad, out["grad/class_text_embeddings"])
        assert all(parameter.grad is None for parameter in decoder.parameters())


def segprompt_decoder(golden: Golden) -> MaskedDecoder:
    heads = golden.config["nheads"]
    return mask2former_decoder(golden.part("state_dict"), num_heads=heads)


SEGPROMPT = ["segprompt_decoder_single", "segprompt_decoder_repeat"]


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("component", SEGPROMPT)
def test_three_groups_of_segprompt_are_the_official_ones(component, dtype):
    for golden in goldens(component):
        decoder = segprompt_decoder(golden).to(dtype)
        compare_segprompt(decoder, golden, dtype)


@pytest.mark.golden
@pytest.mark.parametrize("component", SEGPROMPT)
def test_one_wrong_weight_is_noticed(component):
    golden = goldens(component)[0]
    decoder = segprompt_decoder(golden).double()
    notices_every_weight(decoder, lambda: compare_segprompt(decoder, golden, torch.float64))


def compare_segprompt(decoder: MaskedDecoder, golden: Golden, dtype: torch.dtype) -> None:
    """Asserts that all steps of all three groups are the official ones."""
    sizes, out = golden.config, golden.part("out")
    given = {k: x.to(dtype) if x.is_floating_point() else x for k, x in golden.part("in").items()}
    memory = decoder.prepare(maps_of(given, "multi_scale_features."), given["mask_features"])
    all_see = sizes.get("no_att_mask", False)
    group_of = torch.arange(sizes["num_open_queries"]) // sizes["query_repeat"]
    is_parted = sizes["open_att_mask"] and not all_see
    sees = (0, 2) if all_see else () if sizes["self_att_independent"] else (0,)
    prompts = QueryGroup(
        *prompt_queries(golden.part("state_dict"), given, decoder),
        blocked=group_of[:, None] != group_of if is_parted else None,
        sees=sees,
    )
    nothing = torch.zeros(*given["example_labels"].shape, sizes["hidden_dim"], dtype=dtype)
    masks = given["example_masks"]
    examples = QueryGroup(nothing, nothing, regions=masks, sees=(0, 1) if all_see else ())
    tables = decoder.query_content, decoder.query_position
    learned = QueryGroup(*tables, sees=(1, 2) if all_see else ())
    found = decoder.answer(memory, [learned, prompts, examples], deep_supervision=True)
    states = torch.cat([group.states for group in found], 1)
    close(states, out["final_queries"], steps=DEEP_STEPS)
    for name, group in zip(("agnostic", "prompt", "example"), found, strict=True):
        for i, step in enumerate((*group.aux, group)):
            close(step.class_logits, out[f"{name}_logits"][i])
            close(step.mask_logits, out[f"{name}_masks"][i], steps=DEEP_STEPS)


def prompt_queries(
    state: dict[str, Tensor], given: dict[str, Tensor], decoder: MaskedDecoder
) -> tuple[Tensor, Tensor]:
    """SegPrompt, section 2.2: cache through a projection, class embedding, learned query."""
    ids, picks = given["candidate_ids"], given["query_picks"]
    queries = []
    tables = decoder.query_content, decoder.query_position
    if "query_repeat_feat.weight" in state:  # tables of their own
        tables = (state[f"query_repeat_{which}.weight"].to(tables[0]) for which in ("feat", "pos"))
    for which, table in zip(("feat", "pe"), tables, strict=True):
        x = state["memory_bank.weight"][ids].to(table.dtype)
        if f"ex2{which}.weight" in state:
            weight, bias = (state[f"ex2{which}.{part}"].to(x) for part in ("weight", "bias"))
            x = F.linear(x, weight, bias)
        if f"id2{which}.weight" in state:
            x = x + state[f"id2{which}.weight"][ids]
        queries.append(x + table[picks] if len(picks) else x)
    return queries[0], queries[1]


@pytest.mark.golden
def test_official_names_there_and_back():
    for golden in goldens("seem_decoder"):
        state = golden.part("state")
        own = {k: v for k, v in state.items() if not k.startswith("lang_encoder.lang_")}
        back = decoder_to_official(*decoder_from_official(state))
        assert set(back) == set(own)
        assert all(torch.equal(back[key], own[key]) for key in own)


def test_a_checkpoint_without_a_decoder_is_refused():
    with pytest.raises(WeightsError, match=r"query_feat\.weight, class_embed"):
        decoder_sizes_from({"mask_embed.layers.2.weight": torch.zeros(2, 2)})


# -- promises, on random weights ----------------------------------------------------------------


@pytest.fixture
def decoder() -> MaskedDecoder:
    torch.manual_seed(0)
    decoder = MaskedDecoder(
        hidden=32,
        num_queries=7,
        num_layers=4,
        num_heads=4,
        feedforward=48,
        mask_dim=24,
        joint_width=16,
    )
    return decoder.requires_grad_(False)


def memory_of(decoder: MaskedDecoder, *, images: int = 2, **options) -> DecoderMemory:
    generator = torch.Generator().manual_seed(5)
    sizes = [(2, 3), (4, 6), (8, 12)]
    maps = [torch.randn(images, 32, *size, generator=generator) for size in sizes]
    return decoder.prepare(maps, torch.randn(images, 24, 16, 24, generator=generator), **options)


def tables(decoder: MaskedDecoder) -> tuple[Tensor, Tensor]:
    return decoder.query_content, decoder.query_position


def test_a_group_beside_others_is_bit_identical_to_the_group_alone(decoder):
    memory = memory_of(decoder)
    alone = decoder(memory, *tables(decoder))
    other = QueryGroup(torch.randn(3, 32), torch.randn(3, 32))
    tokens = ExtraTokens(torch.randn(2, 4, 32), torch.randn(2, 4, 32))
    watching = QueryGroup(torch.randn(2, 5, 32), torch.randn(5, 32), tokens, sees=(0,))
    for groups in ([other], [other, watching, other]):
        beside = decoder.answer(memory, [QueryGroup(*tables(decoder)), *groups])[0]
        for name in ("mask_logits", "class_embeds", "states"):
            assert torch.equal(getattr(alone, name), getattr(beside, name))


def test_slow_attention_gives_the_same(decoder):
    memory = memory_of(decoder)
    found = decoder.run(memory, [QueryGroup(*tables(decoder))], keep_all=True)[0]
    x, place = (table.expand(2, -1, -1) for table in tables(decoder))
    for index, layer in enumerate(decoder.layers):
        level = index % 3
        size = memory.sizes[level]
        masks = torch.einsum("bqm,bmhw->bqhw", decoder.mask_embeds(x), memory.mask_features)
        masks = F.interpolate(masks, size, mode="bilinear", align_corners=False).flatten(2)
        blocked = masks < 0
        for row in blocked.view(-1, blocked.shape[-1]):
            if row.all():
                row[:] = False
        source = memory.sources[level]
        placed = source + decoder._positions(memory)[level]
        x = slow_attention(layer.cross, x, x + place, placed, source, blocked)
        x = slow_attention(layer.self_attention, x, x + place, x + place, x, None)
        x = layer.feedforward(x)
        torch.testing.assert_close(found[index + 1], x, atol=1e-4, rtol=1e-4)


def slow_attention(layer, x, placed_query, placed_key, content, blocked):
    weights, biases = layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3)
    inputs = (placed_query, placed_key, content)
    parts = [F.linear(i, w, b) for i, w, b in zip(inputs, weights, biases, strict=True)]
    width = x.shape[-1] // layer.num_heads
    mixed = []
    for q, k, v in zip(*(part.split(width, -1) for part in parts), strict=True):
        logits = q @ k.mT / width**0.5
        if blocked is not None:
            logits = logits.masked_fill(blocked, -torch.inf)
        mixed.append(logits.softmax(-1) @ v)
    return layer.norm(x + layer.project_out(torch.cat(mixed, -1)))


def test_an_empty_mask_looks_everywhere_and_padding_of_tokens_is_ignored(decoder):
    memory = memory_of(decoder)
    region = torch.zeros(2, 7, 64, 96)
    region[:, 0, :32] = 1
    group = QueryGroup(*tables(decoder), regions=region)
    looks = RunningGroup(group, [group], 2).given_looks(1, (4, 6))
    assert looks[0, 0].view(4, 6).tolist() == [[True] * 6] * 2 + [[False] * 6] * 2
    assert looks[:, 1:].all()
    tokens, place = torch.randn(2, 3, 32), torch.randn(2, 3, 32)
    padding = torch.tensor([[False, True, True], [True, True, True]])
    outputs = []
    for filler in (0.0, 1e4):
        filled = torch.where(padding[..., None], filler, tokens)
        for see_queries in (False, True):
            group = QueryGroup(*tables(decoder), ExtraTokens(filled, place, padding, see_queries))
            outputs.append(decoder.answer(memory, [group])[0].mask_logits)
    assert all(output.isfinite().all() for output in outputs)
    torch.testing.assert_close(outputs[0], outputs[2])
    torch.testing.assert_close(outputs[1], outputs[3])
    without = decoder(memory, *tables(decoder)).mask_logits
    torch.testing.assert_close(outputs[0][1], without[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("see_queries", [False, True])
def test_visibility(see_queries):
    # Two queries, three tokens of which the first is padding, two queries of another group.
    padding = torch.tensor([[True, False, False]])
    tokens = ExtraTokens(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), padding, see_queries)
    blocked = torch.tensor([[False, True], [False, False]])
    group = QueryGroup(torch.zeros(2, 4), torch.zeros(2, 4), tokens, blocked=blocked)
    seen = visibility(group, 1, 2)[0, 0]
    rows = ["".join("01"[int(cell)] for cell in row) for row in seen]
    # Columns: queries, tokens, others.
    up = "11" if see_queries else "00"
    assert rows == [
        "10" + "011" + "11",
        "11" + "011" + "11",
        up + "111" + "00",
        up + "011" + "00",
        up + "011" + "00",
    ]
    assert visibility(QueryGroup(torch.zeros(2, 4), torch.zeros(2, 4)), 1, 3) is None


def test_resizing_first_gives_the_same_attention_masks(decoder):
    first, after = memory_of(decoder), memory_of(decoder, resize="after")
    assert not after.level_features
    states = decoder.query_content.expand(2, -1, -1)
    for level in range(3):
        near = torch.einsum(
            "bqm,bmhw->bqhw", decoder.mask_embeds(states), first.level_features[level]
        )
        clear = (near.abs() > 1e-5).flatten(2)
        one, two = (decoder._looks(memory, states, level) for memory in (first, after))
        assert torch.equal(one[clear], two[clear])


def test_memory_rows_stacks_and_named_tensors(decoder):
    memory = memory_of(decoder, images=3, keep_keys=True)
    expected = decoder(memory, *tables(decoder)).mask_logits
    again = DecoderMemory.from_tensors({**memory.tensors(), "class_embeds": torch.zeros(3)})
    singles = [memory.rows([i]) for i in range(3)]
    assert [len(single) for single in singles] == [1, 1, 1]
    for other in (again, DecoderMemory.stack(singles), memory.to("cpu")):
        assert all(tensor.shape[0] == 3 for tensor in other.tensors().values())
        torch.testing.assert_close(decoder(other, *tables(decoder)).mask_logits, expected)
    picked = decoder(memory.rows(torch.tensor([2, 0])), *tables(decoder)).mask_logits
    torch.testing.assert_close(picked, expected[[2, 0]])
    torch.testing.assert_close(
        decoder(memory.rows(slice(1, 2)), *tables(decoder)).mask_logits, expected[1:2]
    )


def test_several_runs_per_image_are_separate(decoder):
    memory = memory_of(decoder)
    content, position = torch.randn(6, 4, 32), torch.randn(6, 4, 32)
    together = decoder.answer(memory, [QueryGroup(content, position)])[0]
    assert together.mask_logits.shape == (2, 12, 16, 24)
    for run in range(6):
        alone = decoder(memory.rows([run // 3]), content[run], position[run])
        part = together.mask_logits[run // 3].view(3, 4, 16, 24)[run % 3]
        torch.testing.assert_close(part, alone.mask_logits[0], atol=1e-4, rtol=1e-4)


def test_only_prompts_get_gradients_and_deep_supervision_changes_no_answer(decoder):
    memory = memory_of(decoder)
    content = decoder.query_content.clone().requires_grad_()
    text = torch.randn(5, 16, requires_grad=True)
    shallow = decoder(memory, content, decoder.query_position, text=text)
    deep = decoder(memory, content, decoder.query_position, text=text, deep_supervision=True)
    assert shallow.aux == ()
    assert len(deep.aux) == 4
    assert torch.equal(shallow.mask_logits, deep.mask_logits)
    assert torch.equal(shallow.class_logits, decoder.classify(shallow.class_embeds, text))
    deep.aux[0].mask_logits.sum().backward()
    assert content.grad.abs().sum() > 0
    (shallow.mask_logits.sum() + shallow.class_logits.sum()).backward()
    assert text.grad is not None
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_classifier_normalises_queries_but_not_words(decoder):
    answers = decoder(memory_of(decoder), *tables(decoder))
    torch.testing.assert_close(answers.class_embeds.norm(dim=-1), torch.ones(2, 7))
    text = torch.randn(3, 16)
    once = decoder.classify(answers.class_embeds, text)
    torch.testing.assert_close(decoder.classify(answers.class_embeds, 2 * text), 2 * once)
    batched = decoder.classify(answers.class_embeds, torch.stack([text, 3 * text]))
    torch.testing.assert_close(batched, torch.stack([once[0], 3 * once[1]]))


def test_bad_sizes(decoder):
    with pytest.raises(SegtuneError, match="multiple of the 5 heads"):
        MaskedDecoder(hidden=32, num_heads=5)
    with pytest.raises(SegtuneError, match="2 maps given, expected 3"):
        decoder.prepare([torch.zeros(1, 32, 2, 2)] * 2, torch.zeros(1, 24, 8, 8))
