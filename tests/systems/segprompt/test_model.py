from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from segtune.backbones.decoders.mask_head import opened, resized
from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.mask2former.files import decoder_from_official
from segtune.ops.matched.mask_products import formed
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.model import (
    Answers,
    SegPrompt,
    group_attention_mask,
    prompts_see,
    query_groups,
)
from segtune.systems.segprompt.official import prompts_from_official
from segtune.systems.segprompt.prompts import SegPrompts
from tests.goldens import DEEP_STEPS, Golden, close, goldens, notices_every_weight

COMPONENTS = ["segprompt_decoder_single", "segprompt_decoder_repeat"]


def config_of(sizes: dict) -> SegPromptConfig:
    """Returns the switches in the `config.json` of a golden."""
    return SegPromptConfig(
        num_prompts=sizes["num_open_queries"],
        repeat=sizes["query_repeat"],
        num_examples=sizes["num_example"],
        momentum=sizes.get("sigma", 0.9),
        group_masks=sizes.get("open_att_mask", True),
        independent=sizes.get("self_att_independent", False),
        all_see_all=sizes.get("no_att_mask", False),
        min_area=sizes.get("min_mask_area", 100),
        masks_of_all_classes=sizes.get("new_mask_idset", False),
        only_matched=sizes.get("only_match", True),
        prompt_no_object=sizes.get("no_object_weight", 0.1),
    )


def loaded(golden: Golden, prefix: str = "state_dict") -> SegPrompt:
    """Returns the model of a golden, by the loaders of files."""
    state, sizes = golden.part(prefix), golden.config
    decoder = decoder_from_official(state, num_heads=sizes["nheads"])
    return SegPrompt(decoder, prompts_from_official(state, config_of(sizes)))


def memory_in(golden: Golden, decoder: MaskedDecoder, dtype: torch.dtype = torch.float32):
    """Returns what queries look at in a golden."""
    maps = golden.part("in.multi_scale_features")
    maps = [maps[str(level)].to(dtype) for level in range(len(maps))]
    return decoder.prepare(maps, golden["in.mask_features"].to(dtype))


def compare(model: SegPrompt, golden: Golden, dtype: torch.dtype) -> Answers:
    """Asserts that all predictions of all groups are the official ones."""
    given, out = golden.part("in"), golden.part("out")
    answers = model(
        memory_in(golden, model.decoder, dtype),
        given["candidate_ids"],
        given["query_picks"],
        given["example_masks"].to(dtype),
    )
    names = ("agnostic", "prompt", "example")
    for name, group in zip(
        names, (answers.learned, answers.prompts, answers.examples), strict=True
    ):
        assert len(group) == len(out[f"{name}_logits"])
        for i, step in enumerate(group):
            close(step.class_logits, out[f"{name}_logits"][i])
            close(formed(step.mask_logits), out[f"{name}_masks"][i], steps=DEEP_STEPS)
    first = model.decoder.query_content.shape[0] + given["candidate_ids"].shape[1]
    close(answers.example_states, out["final_queries"][:, first:], steps=DEEP_STEPS)
    return answers


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("component", COMPONENTS)
def test_three_groups_and_the_cache_are_the_official_ones(component, dtype):
    for golden in goldens(component):
        model = loaded(golden).to(dtype)
        before = golden["state_dict.memory_bank.weight"]
        answers = compare(model, golden, dtype)
        cache = model.prompts.cache
        assert torch.equal(cache.rows, before.to(dtype)), (
            "the prompts of a step use the cache before"
        )
        labels = golden["in.example_labels"]
        cache.update(answers.example_states, labels)
        close(cache.rows, golden["out.memory_bank_after"])
        assert cache.counts.sum() == labels.numel()


@pytest.mark.golden
@pytest.mark.parametrize("component", COMPONENTS)
def test_one_wrong_weight_is_noticed(component):
    golden = goldens(component)[0]
    model = loaded(golden).double()
    seen = golden["in.candidate_ids"].unique()
    assert len(seen) < len(model.prompts.cache.rows)
    notices_every_weight(model, lambda: compare(model, golden, torch.float64))


@pytest.mark.golden
@pytest.mark.parametrize("component", COMPONENTS)
def test_who_sees_whom_is_the_official_mask(component):
    for golden in goldens(component):
        sizes, expected = golden.config, ~golden["out.self_attn_mask"]
        config = config_of(sizes)
        q, p, e = (sizes[key] for key in ("num_queries", "num_open_queries", "num_example"))
        own = group_attention_mask(config)
        found = torch.zeros(q + p + e, q + p + e, dtype=torch.bool)
        found[:q, :q] = True
        found[q : q + p, q : q + p] = True if own is None else ~own
        found[q : q + p, :q] = 0 in prompts_see(config)
        found[q + p :, q + p :] = True
        assert torch.equal(found, expected)


@pytest.mark.golden
@pytest.mark.parametrize("component", COMPONENTS)
def test_example_queries_look_where_the_official_ones_do(component):
    for golden in goldens(component):
        masks, sizes = golden["in.example_masks"], golden.config
        maps = golden.part("in.multi_scale_features")
        for layer, blocked in golden.part("out.cross_attn_mask").items():
            size = tuple(maps[str(int(layer) % 3)].shape[-2:])
            looks = opened((resized(masks, size) > 0).flatten(2))
            assert torch.equal(~looks, blocked[:, -sizes["num_example"] :])


# -- promises, on random weights ----------------------------------------------------------------

CONFIG = SegPromptConfig(num_prompts=6, repeat=2, num_examples=2)
OTHERS = {
    "projected": {"project_cache": True},
    "own additions": {"own_repeats": True},
    "no class rows": {"class_rows": "none"},
    "names": {"class_rows": "text"},
    "independent": {"independent": True},
    "all prompts see each other": {"group_masks": False},
    "own classifier": {"own_classifier": True},
}


def random_segprompt(config: SegPromptConfig = CONFIG) -> SegPrompt:
    torch.manual_seed(0)
    decoder = MaskedDecoder(
        hidden=16,
        num_queries=5,
        num_layers=3,
        num_heads=2,
        feedforward=24,
        mask_dim=8,
        num_classes=1,
    )
    text = torch.randn(7, 12) if config.class_rows == "text" else None
    prompts = SegPrompts(config, num_classes=7, width=16, text=text)
    prompts.cache.update(torch.randn(1, 7, 16), torch.arange(7)[None])
    return SegPrompt(decoder, prompts)


def inputs(config: SegPromptConfig = CONFIG) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.tensor([[0, 3, 5], [6, 2, 1]]).repeat_interleave(config.repeat, 1)
    masks = (torch.rand(2, config.num_examples, 32, 32, generator=generator) > 0.8).float()
    return {"class_ids": ids, "picks": torch.tensor([0, 1, 2, 0, 4, 3]), "example_masks": masks}


def random_memory(model: SegPrompt):
    generator = torch.Generator().manual_seed(5)
    maps = [torch.randn(2, 16, side, side, generator=generator) for side in (2, 4, 8)]
    return model.decoder.prepare(maps, torch.randn(2, 8, 8, 8, generator=generator))


@pytest.mark.parametrize("name", ["as published", *OTHERS])
def test_learned_queries_answer_bit_for_bit_as_without_the_groups(name):
    config = replace(CONFIG, **OTHERS.get(name, {}))
    model = random_segprompt(config)
    given = inputs(config)
    if config.own_repeats:
        given["picks"] = model.prompts.picks(5, torch.Generator())
    memory = random_memory(model)
    found = model(memory, **given).learned
    decoder = model.decoder
    alone = decoder(memory, decoder.query_content, decoder.query_position, deep_supervision=True)
    for ours, plain in zip(found, (*alone.aux, alone), strict=True):
        assert torch.equal(ours.class_logits, plain.class_logits)
        assert torch.equal(formed(ours.mask_logits), plain.mask_logits)


def test_where_all_see_all_the_groups_change_the_learned_queries():
    model = random_segprompt(replace(CONFIG, all_see_all=True))
    memory, given = random_memory(model), inputs()
    one = model(memory, **given).learned[-1].class_logits
    given["class_ids"] = given["class_ids"].flip(1)
    assert not torch.equal(model(memory, **given).learned[-1].class_logits, one)


def test_permuting_prompt_groups_permutes_their_answers():
    model, given = random_segprompt(), inputs()
    memory = random_memory(model)
    order = torch.tensor([2, 0, 1])
    places = torch.arange(6).view(3, 2)[order].flatten()
    before = model(memory, **given).prompts[-1]
    given |= {"class_ids": given["class_ids"][:, places], "picks": given["picks"][places]}
    after = model(memory, **given).prompts[-1]
    torch.testing.assert_close(after.class_logits, before.class_logits[:, places])
    ours, theirs = formed(after.mask_logits), formed(before.mask_logits)[:, places]
    torch.testing.assert_close(ours, theirs)


def test_a_pass_leaves_the_cache_and_without_masks_examples_look_freely():
    model, given = random_segprompt(), inputs()
    before = model.prompts.cache.rows.clone()
    given["example_masks"] = None
    answers = model(random_memory(model), **given)
    assert torch.equal(model.prompts.cache.rows, before)
    assert answers.example_states.shape == (2, 2, 16)


def test_detached_prompts_give_learned_tables_no_gradient():
    for detach in (False, True):
        model = random_segprompt(replace(CONFIG, detach_queries=detach))
        given = inputs()
        groups = query_groups(
            model.decoder, model.prompts, given["class_ids"], given["picks"], None
        )
        groups[1].content.sum().backward()
        assert (model.decoder.query_content.grad is None) is detach
        assert model.prompts.class_content.weight.grad is not None
