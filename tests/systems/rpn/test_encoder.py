"""Every shortcut of the encoder against the equations written out one by one."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.clip.random import random_clip_vit
from segtune.ops.normalisation import IMAGENET
from segtune.systems.base import Words
from segtune.systems.rpn.config import LORA, PAPER, RELEASED, VPT, ZEGCLIP, RPNConfig
from segtune.systems.rpn.encoder import PromptedEncoder
from segtune.systems.rpn.model import PromptedClip
from segtune.systems.rpn.relationship import (
    attention_map,
    relationship_prompts,
    resize_knowledge,
)

BASE = replace(PAPER, train_grid=(4, 4), prompt_dropout=0.0)
STATIC = replace(RELEASED, static_tokens=3, train_grid=(4, 4), prompt_dropout=0.0)
CONFIGS = {
    "paper": BASE,
    "all experts": replace(BASE, m2oe_gated=False),
    "released": STATIC,
    "zegclip": replace(ZEGCLIP, static_tokens=3, prompt_dropout=0.0),
    "no static": replace(STATIC, static_tokens=0),
    "no_image": replace(STATIC, itp="no_image"),
    "no_pixel": replace(STATIC, itp="no_pixel"),
    "linear": replace(STATIC, apg="linear"),
    "linear no_pixel": replace(STATIC, apg="linear", itp="no_pixel"),
    "h per layer": replace(STATIC, h_mode="per_layer"),
    "odd": replace(STATIC, layers="odd", h_mode="per_layer"),
    "even": replace(BASE, layers="even"),
    "layers 1,3": replace(STATIC, layers="1,3"),
    "add": replace(STATIC, prefix="add"),
    "mul": replace(BASE, prefix="mul"),
    "add no_image": replace(BASE, prefix="add", itp="no_image"),
    "add no_pixel": replace(STATIC, prefix="add", itp="no_pixel"),
    "first 2": replace(STATIC, static_layers=2),
    "last 2": replace(STATIC, static_layers=-2),
    "no norm": replace(STATIC, prompt_norm=False),
}
LAYERS, GRID = 4, (3, 5)
LAST = 2  # layer of the decoder
CLIP = random_clip_vit(layers=LAYERS)


def make(config: RPNConfig, *, seed: int = 0) -> PromptedClip:
    """A tiny system on the same frozen weights, all learned numbers moved off their start."""
    system = PromptedClip(CLIP, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in system.prompts.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return system


def image(batch: int = 2, grid: tuple[int, int] = GRID) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 255 * torch.rand(batch, 3, 8 * grid[0], 8 * grid[1], generator=generator)


def text(classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return F.normalize(torch.randn(classes, 16, generator=generator), dim=-1)


def logits(system: PromptedClip, classes: int = 5, **options) -> Tensor:
    return system(system.encode(image(**options)), Words(text(classes)))


def written_out(system: PromptedClip, classes: int = 5) -> Tensor:
    """Logits by the equations of the paper: prompts are tokens, nothing is folded or kept."""
    clip, config, learned, words = system.backbone, system.config, system.prompts, text(classes)
    emitting, with_static = config.emitting_layers(LAYERS), config.static_layer_ids(LAYERS)
    # `encode` runs the layers before the first prompt; here all start from the embedding.
    tokens = clip.embed(_normalised(system), class_embedding_twice=config.class_embedding_twice)
    relation = None
    for index in range(LAYERS):
        cls, patches, prompts = tokens[:, :1], tokens[:, 1:], tokens[:, :0]
        if index in with_static:
            static = learned.projected(learned.static[with_static.index(index)])
            prompts = torch.cat([prompts, static.expand(len(tokens), -1, -1)], 1)
        if relation is not None and config.prefix == "cat":
            prompts = torch.cat([prompts, relation], 1)
        elif relation is not None:
            patches = patches + relation if config.prefix == "add" else patches * relation
        tokens = clip.layer(index)(torch.cat([cls, prompts, patches], 1), None)
        tokens = torch.cat([tokens[:, :1], tokens[:, 1 + prompts.shape[1] :]], 1)
        relation = None
        if index in emitting:
            relation = _relation(system, index, emitting, tokens, words)
    joint = clip.to_joint(learned.norm_tokens(tokens))
    return learned.head(joint[:, 0], joint[:, 1:], words).mT.unflatten(2, GRID)


def _normalised(system: PromptedClip) -> Tensor:
    is_imagenet = system.config.imagenet_normalization
    seen_by = IMAGENET if is_imagenet else system.backbone.normalisation
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (seen_by.unit_mean, seen_by.unit_std))
    return (image() / 255 - mean) / std


def _relation(
    system, index: int, emitting: tuple[int, ...], tokens: Tensor, words: Tensor
) -> Tensor:
    config, learned = system.config, system.prompts
    if str(index) in learned.experts:
        patches, _ = learned.experts[str(index)](tokens[:, 1:], GRID)
        tokens = torch.cat([tokens[:, :1], patches], 1)
    joint = system.backbone.to_joint(learned.norm_tokens(tokens))
    queries = words[None] if config.itp == "no_image" else words * joint[:, :1]  # (B, K, k)
    spread = joint[:, 1:] @ queries.mT  # (B, N, K)
    attention = queries.mT if config.itp == "no_pixel" else spread
    copy = emitting.index(index) if config.h_mode == "per_layer" else 0
    knowledge = learned.knowledge[copy]
    if config.itp != "no_pixel":
        knowledge = resize_knowledge(knowledge, config.train_grid, GRID)
    relation = attention.mT @ knowledge
    if learned.knowledge_bias is not None:
        relation = relation + learned.knowledge_bias
    relation = learned.projected(relation)
    return relation if config.prefix == "cat" else spread @ relation


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("path", ["kv", "concat"])
@pytest.mark.parametrize("name", CONFIGS)
def test_inference_equals_the_equations(name: str, path: str) -> None:
    system = make(replace(CONFIGS[name], prompt_path=path))
    with torch.no_grad():
        expected = written_out(system)
        close(logits(system), expected)
        close(logits(system), expected)  # from the cache
    close(logits(system).detach(), expected)  # with gradients nothing is cached


@pytest.mark.parametrize("path", ["kv", "concat"])
@pytest.mark.parametrize("name", CONFIGS)
def test_training_equals_the_equations_and_reaches_every_prompt(name: str, path: str) -> None:
    system = make(replace(CONFIGS[name], prompt_path=path)).train()
    system.prompts.head.eval()  # the decoder has dropout of its own
    parameters = dict(system.prompts.named_parameters())
    weights = torch.randn(2, 5, *GRID, generator=torch.Generator().manual_seed(3))

    def gradients(run) -> dict[str, Tensor]:
        torch.manual_seed(4)  # of the noise at the gates
        slopes = torch.autograd.grad(
            (run(system) * weights).sum(), parameters.values(), materialize_grads=True
        )
        return dict(zip(parameters, slopes, strict=True))

    actual, expected = gradients(logits), gradients(written_out)
    for key, gradient in expected.items():
        scale = gradient.abs().max().clamp(min=1)
        close(actual[key] / scale, gradient / scale)
    # Idle may be experts that the gate dropped, and what follows the last mask of the decoder.
    idle = {key for key, gradient in expected.items() if not gradient.any()}
    assert all(key.startswith(("experts.", f"head.layers.{LAST}.")) for key in idle), idle
    assert all(p.grad is None and not p.requires_grad for p in system.backbone.parameters())


def test_what_another_thread_prepares_in_between_is_not_taken(monkeypatch) -> None:
    """What is kept is swapped for that of another grid as soon as it was compared."""
    system = make(BASE)
    with torch.no_grad():
        system.encoder.prepare((2, 3))
        other = system.encoder._cache
        own = system.encoder.prepare(GRID)
        kept = system.encoder._cache
        reads = iter([kept, kept])

        class Shared(PromptedEncoder):
            _cache = property(lambda self: next(reads, other), lambda self, value: None)

        monkeypatch.setattr(system.encoder, "__class__", Shared)
        assert system.encoder.prepare(GRID) is own
        assert system.encoder.prepare(GRID) is own
        assert system.encoder.prepare((2, 3)) is other[1]


@pytest.mark.parametrize(
    "config", [BASE, STATIC, CONFIGS["zegclip"]], ids=["paper", "rpn", "zegclip"]
)
@pytest.mark.parametrize("is_autocast", [True, False], ids=["autocast", "all bfloat16"])
def test_half_precision_agrees_between_paths(config: RPNConfig, is_autocast: bool) -> None:
    results, slopes = [], []
    for path in ("kv", "concat"):
        system = make(replace(config, prompt_path=path))
        if not is_autocast:
            system = PromptedClip(copy.deepcopy(CLIP), system.config)
            system.load_learned(make(system.config).learned())
            system.to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
            result = logits(system)
        weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
        (slope,) = torch.autograd.grad((result.float() * weights).sum(), system.prompts.norm.weight)
        results.append(result.float().detach())
        slopes.append(slope.float() / slope.float().abs().max())
    close(results[0], results[1], 2e-2)
    close(slopes[0], slopes[1], 2e-2)


@pytest.mark.parametrize(
    "config",
    [
        replace(VPT, static_tokens=3),
        replace(VPT, static_tokens=3, static_mode="shallow", prompt_norm=False),
        replace(LORA, lora_rank=2),
        replace(BASE, relationship=False, m2oe=False),
    ],
    ids=["vpt", "shallow", "lora", "no prompts"],
)
def test_peers_run_and_learn(config: RPNConfig) -> None:
    system = make(config).train()
    logits(system).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in system.prompts.parameters())


@pytest.mark.parametrize("itp", ["both", "no_image"])
@pytest.mark.parametrize("classes", [1, 5, 847])
def test_both_orders_of_the_prompt_product_agree(itp: str, classes: int) -> None:
    random = torch.Generator().manual_seed(0)
    patches = F.normalize(torch.randn(2, 15, 16, generator=random), dim=-1)
    cls = F.normalize(torch.randn(2, 16, generator=random), dim=-1)
    knowledge = torch.randn(15, 32, generator=random)
    plain = attention_map(patches, cls, text(classes), itp=itp).mT @ knowledge
    close(relationship_prompts(patches, cls, text(classes), knowledge, itp=itp), plain)
    queries = text(classes) * (1 if itp == "no_image" else cls[:, None])
    close(queries @ (patches.mT @ knowledge), plain)


@torch.no_grad()
@pytest.mark.parametrize("config", [BASE, STATIC], ids=["paper", "rpn"])
def test_vocabularies_of_any_size_without_rebuilding(config: RPNConfig) -> None:
    system = make(config)
    for classes in (1, 20, 847, 1):
        result = logits(system, classes)
        assert result.shape == (2, classes, *GRID)
        close(result, written_out(system, classes))


@torch.no_grad()
def test_images_of_a_batch_do_not_meet() -> None:
    system = make(STATIC)
    both = logits(system)
    for index, picture in enumerate(image()):
        close(system(system.encode(picture[None]), Words(text()))[0], both[index])


def _fresh(system: PromptedClip) -> Tensor:
    """What a new system with the same learned numbers computes."""
    other = make(system.config)
    other.load_learned(system.learned())
    with torch.no_grad():
        return logits(other)


def test_what_is_kept_between_images_follows_the_prompts() -> None:
    system = make(STATIC)
    optimizer = torch.optim.AdamW(system.prompts.parameters(), lr=0.1)
    with torch.no_grad():
        before = logits(system)
        assert system.encoder.prepare(GRID) is system.encoder.prepare(GRID)
        logits(system, grid=(4, 4))
        close(logits(system), before, 0)
    system.train()
    logits(system).square().sum().backward()
    optimizer.step()
    system.train(False)
    with torch.no_grad():
        after = logits(system)
    assert (after - before).abs().max() > 1e-3
    close(after, _fresh(system), 0)
    system.load_learned(make(STATIC, seed=7).learned())
    with torch.no_grad():
        close(logits(system), _fresh(system), 0)
        assert (logits(system) - after).abs().max() > 1e-3


@torch.no_grad()
def test_what_was_kept_under_autocast_is_not_used_outside() -> None:
    system = make(STATIC)
    with torch.autocast("cpu", torch.bfloat16):
        logits(system)
    close(logits(system), _fresh(system), 0)


def test_a_system_built_in_inference_mode_runs_and_follows_its_prompts() -> None:
    with torch.inference_mode():
        system = make(STATIC)
        before = logits(system)
        close(before, _fresh(system), 0)
        system.load_learned(make(STATIC, seed=7).learned())
        assert (logits(system) - before).abs().max() > 1e-3


def test_training_mode_keeps_dropout_even_without_gradients() -> None:
    system = make(replace(STATIC, prompt_dropout=0.5)).train()
    with torch.no_grad():
        torch.manual_seed(0)
        first, second = logits(system), logits(system)
    assert (first - second).abs().max() > 1e-3
