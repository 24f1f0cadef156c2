"""RPN and ZegCLIP against the official code, and the reconstruction of the paper's RPN."""

import pytest
import torch

from segtune.ops.labels import inductive_labels, transductive_labels
from segtune.systems.base import Targets, Words
from segtune.systems.rpn.config import PAPER
from segtune.systems.rpn.heads import LinearProjectionModule, MaskDecoder, class_descriptor
from segtune.systems.rpn.loss import sigmoid_loss, softmax_loss
from segtune.systems.rpn.official import learned_from_official, load_official
from segtune.systems.rpn.relationship import (
    MixtureOfExperts,
    attention_map,
    relationship_prompts,
)
from segtune.types import IGNORE
from tests.goldens import Golden, close, goldens

pytestmark = pytest.mark.golden

OFFICIAL_NAMES = {
    "deep_prompt_embeddings": "static",
    "prompt_norm.weight": "norm.weight",
    "prompt_proj.weight": "projection.weight",
}


def _labels(golden: Golden, name: str = "in.label") -> torch.Tensor:
    labels = golden[name]
    return torch.where(labels == 255, torch.full_like(labels, IGNORE), labels)


def _head(golden: Golden, head: torch.nn.Module) -> torch.nn.Module:
    state = {f"decode_head.{key}": value for key, value in golden.part("state").items()}
    learned = learned_from_official(state)
    head.load_state_dict({key.removeprefix("head."): value for key, value in learned.items()})
    return head.eval()


def _upsampled(logits: torch.Tensor, grid: tuple[int, int], size: int) -> torch.Tensor:
    picture = logits.mT.unflatten(2, grid)
    return torch.nn.functional.interpolate(picture, (size, size), mode="bilinear")


def _shifted(logits: torch.Tensor, seen: list[int]) -> torch.Tensor:
    probs = logits.sigmoid()
    probs[:, seen] -= 0.1
    return probs


def test_zegclip_head():
    for golden in goldens("zegclip_head"):
        sizes = golden.config
        head = _head(
            golden,
            MaskDecoder(
                sizes["channels"], num_layers=sizes["num_layers"], num_heads=sizes["num_heads"]
            ),
        )
        cls, text, visual = golden["in.cls"], golden["in.text"], golden["in.visual"]
        patches = visual.flatten(2).mT
        descriptor = class_descriptor(cls, text, "c")
        close(descriptor, golden["out.relationship_descriptor"])
        close(head.query(descriptor), golden["out.query"])
        every = head.all_logits(cls, patches, text)
        for index, logits in enumerate(every):
            close(logits.mT, golden[f"out.layer{index}_mask_logits"])
        torch.testing.assert_close(head(cls, patches, text), every[-1])
        masks = _upsampled(every[-1], tuple(visual.shape[-2:]), sizes["img_size"])
        close(masks, golden["out.pred_masks"])
        close(_shifted(masks, sizes["seen_idx"]), golden["out.pred_eval"])
        close(masks.sigmoid(), golden["out.pred_eval_self_training"])


def test_rpn_head():
    for golden in goldens("rpn_released_head", "head"):
        sizes = golden.config
        head = _head(golden, LinearProjectionModule(sizes["channels"], form="c", text_linears=2))
        cls, text, tokens = golden["in.cls"], golden["in.text"], golden["in.visual_tokens"]
        close(head.text[0](class_descriptor(cls, text, "c")), golden["out.class_tokens"])
        side = round(tokens.shape[1] ** 0.5)
        masks = _upsampled(head(cls, tokens, text), (side, side), sizes["img_size"])
        close(masks, golden["out.pred_masks"])
        close(_shifted(masks, sizes["seen_idx"]), golden["out.pred_eval"])


def test_sigmoid_loss_and_gradient():
    for golden in goldens("zegclip_loss"):
        for classes_at_once in (1000, 2):
            logits = golden["in.pred_masks"].clone().requires_grad_()
            losses = sigmoid_loss(
                logits,
                _labels(golden),
                focal_weight=golden.config["mask_weight"],
                dice_weight=golden.config["dice_weight"],
                alpha=golden.config["alpha"],
                classes_at_once=classes_at_once,
            )
            close(losses["loss_mask"], golden["out.loss_mask"])
            close(losses["loss_dice"], golden["out.loss_dice"])
            sum(losses.values()).backward()
            close(logits.grad, golden["out.grad_pred_masks"])


def test_softmax_loss_and_gradient():
    for golden in goldens("rpn_released_head", "softmax_loss"):
        logits = golden["in.pred_masks"].clone().requires_grad_()
        loss = softmax_loss(logits, _labels(golden))["loss_ce"]
        close(loss, golden["out.loss_ce"])
        loss.backward()
        close(logits.grad, golden["out.grad_pred_masks"])


@pytest.mark.parametrize("component", ["rpn_released_full", "zegclip_full"])
@pytest.mark.parametrize("path", ["concat", "kv"])
def test_whole_model(component, path):
    for golden in goldens(component):
        system = _whole(golden, path)
        text, seen = golden["in.text"], golden.config["seen"]
        setting = "inductive." if component == "zegclip_full" else ""
        with torch.no_grad():
            features = system.encode_normalised(golden["in.image"])
            logits = system(features, Words(text))
            masks = torch.nn.functional.interpolate(
                logits, golden["in.image"].shape[-2:], mode="bilinear"
            )
            close(_shifted(masks, seen), golden[f"out.{setting}encode_decode"])
            close(_slide(system, golden, seen), golden[f"out.{setting}slide"])
            if setting:
                close(masks.sigmoid(), golden["out.transductive.encode_decode"])
                close(_slide(system, golden, []), golden["out.transductive.slide"])


def _whole(golden: Golden, path: str = "kv"):
    system = load_official(
        golden.part("state"),
        vision_heads=golden.config["backbone"]["heads"],
        decoder_heads=golden.config["head"]["num_heads"],
    )
    object.__setattr__(system.config, "prompt_path", path)
    return system


def _slide(system, golden: Golden, seen: list[int]) -> torch.Tensor:
    from segtune.ops.windows import windows

    image, crop, stride = golden["in.big_image"], golden.config["crop"], golden.config["stride"]
    size = tuple(image.shape[-2:])
    boxes = windows(size, (crop, crop), (stride, stride))
    parts = []
    for y1, x1, y2, x2 in boxes:
        features = system.encode_normalised(image[:, :, y1:y2, x1:x2])
        logits = system(features, Words(golden["in.text"]))
        masks = torch.nn.functional.interpolate(logits, (y2 - y1, x2 - x1), mode="bilinear")
        parts.append(_shifted(masks, seen))
    total, count = torch.zeros(1, parts[0].shape[1], *size), torch.zeros(1, 1, *size)
    for (y1, x1, y2, x2), part in zip(boxes, parts, strict=True):
        total[:, :, y1:y2, x1:x2] += part
        count[:, :, y1:y2, x1:x2] += 1
    return total / count


@pytest.mark.parametrize("component", ["rpn_released_full", "zegclip_full"])
@pytest.mark.parametrize("path", ["concat", "kv"])
@pytest.mark.parametrize("setting", ["inductive", "transductive"])
def test_losses_and_gradients(component, path, setting):
    for golden in goldens(component):
        if f"out.{setting}.loss_mask" not in golden.tensors:
            pytest.skip("the released RPN has no transductive setting")
        system = _whole(golden, path)
        config, labels = golden.config, _labels(golden)[:, 0]
        if setting == "inductive":
            words = Words(golden["in.text"][config["seen"]])
            targets = Targets(inductive_labels(labels, config["seen"]))
        else:
            words = Words(golden["in.text"])
            marked = transductive_labels(labels, config["unseen"])
            targets = Targets(marked, pseudo_ids=tuple(config["unseen"]))
        features = system.encode_normalised(golden["in.image"])
        losses = system.loss(features, words, targets)
        close(losses["loss_mask"], golden[f"out.{setting}.loss_mask"])
        close(losses["loss_dice"], golden[f"out.{setting}.loss_dice"])
        sum(losses.values()).backward()
        _check_gradients(system, golden.part(f"out.{setting}.grad"))


def _check_gradients(system, expected: dict[str, torch.Tensor]) -> None:
    """Gradients under official names: the same key table that renames weights renames them."""
    renamed = learned_from_official(expected)
    own = dict(system.prompts.named_parameters())
    for name, gradient in renamed.items():
        close(own[name].grad, gradient)
    assert all(not p.requires_grad and p.grad is None for p in system.backbone.parameters())


def test_what_is_trained():
    for component in ("rpn_released_full", "zegclip_full"):
        for golden in goldens(component):
            system = _whole(golden)
            state = golden.part("state")
            unused = sum(
                value.numel()
                for key, value in state.items()
                if key.startswith("prompt_norm.") or ".self_attn." in key or ".norm1." in key
            )
            assert system.num_learned() + unused == int(golden["out.trainable_param_count"])


def test_relationship_path_layer_by_layer():
    for golden in goldens("rpn_released_full"):
        system, text = _whole(golden), golden["in.text"]
        layers = golden.config["backbone"]["layers"]
        for index in range(layers):
            expected = golden.part(f"out.layer{index}")
            tokens, n = expected["tokens_out"], expected["patch_embed"].shape[1]
            cls, patches = system.encoder.joint(torch.cat([tokens[:, :1], tokens[:, -n:]], 1))
            close(patches, expected["patch_embed"])
            close(text * cls[:, None], expected["class_x_cls"])
            close(attention_map(patches, cls, text), expected["attention_map"])
            knowledge = system.prompts.knowledge[0]
            close(
                relationship_prompts(patches, cls, text, knowledge),
                expected["relationship_prompt"],
            )


def test_paper_attention_prompts_and_heads():
    for golden in goldens("rpn_paper_itp_apg_lpm"):
        cls, patches, text = golden["in.cls"], golden["in.patch"], golden["in.text"]
        state = golden.part("state")
        close(attention_map(patches, cls, text), golden["out.attention_map"])
        close(
            attention_map(patches, cls, text, itp="no_image"),
            golden["out.attention_map_without_image_level"],
        )
        close(text * cls[:, None], golden["out.class_x_cls"])
        rel = relationship_prompts(patches, cls, text, state["apg.h"])
        close(rel, golden["out.relationship_prompt"])
        many = relationship_prompts(patches, cls, text.repeat(200, 1), state["apg.h"])
        close(many[:, : len(text)], golden["out.relationship_prompt_reassociated"])
        for form in "abc":
            head = LinearProjectionModule(golden.config["joint_dim"], form=form)
            parts = {"image": "lpm.image", "image_norm": "lpm.image_norm"}
            parts |= {"text_norm": "lpm.text_norm", "text.0": f"lpm_{form}.text"}
            head.load_state_dict(
                {
                    f"{own}.{p}": state[f"{key}.{p}"]
                    for own, key in parts.items()
                    for p in ("weight", "bias")
                }
            )
            close(head(cls, patches, text), golden[f"out.lpm_{form}_logits"])


def test_paper_mixture_of_experts():
    for golden in goldens("rpn_paper_m2oe"):
        sizes, state = golden.config, golden.part("state.m2oe")
        tokens, grid = golden["in.patch_tokens"], tuple(sizes["grid"])
        for gated, name in ((True, "output"), (False, "output_multiscale")):
            block = MixtureOfExperts(
                sizes["d"],
                rank=sizes["r"],
                num_experts=sizes["experts"],
                top_k=sizes["top_k"],
                gated=gated,
            ).eval()
            block.load_state_dict(state)
            output, gates = block(tokens, grid)
            close(output, golden[f"out.m2oe.{name}"])
        reduced = block.down(tokens)
        close(reduced, golden["out.m2oe.reduced"])
        close(gates, golden["out.m2oe.gates"])
        picture = reduced.mT.unflatten(2, grid)
        experts = torch.stack([block.expert(j, picture) for j in range(sizes["experts"])], 1)
        close(experts.flatten(3).mT, golden["out.m2oe.experts"])


def test_published_parameter_counts():
    from dataclasses import replace

    from segtune.backbones.clip.random import random_clip_vit
    from segtune.systems.rpn.config import RELEASED, ZEGCLIP
    from segtune.systems.rpn.model import PromptedClip

    clip = random_clip_vit(
        width=768, layers=12, heads=12, image_size=32, patch_size=16, joint_width=512
    )
    unused_norm = 2 * 768
    for tokens, rpn, zegclip in ((10, 2_524_416, 10_666_240), (100, 3_353_856, 11_495_680)):
        released = PromptedClip(clip, replace(RELEASED, static_tokens=tokens))
        assert released.num_learned() + unused_norm == rpn
        assert PromptedClip(clip, replace(ZEGCLIP, static_tokens=tokens)).num_learned() == zegclip
    paper = PromptedClip(clip, replace(PAPER))
    # The paper read literally, 1 636 689, and the LayerNorm before the joint space.
    assert paper.num_learned() == 1_636_689 + 2 * 768
