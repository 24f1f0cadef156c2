"""The CLIP towers against the official ZegCLIP code."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.systems.rpn.official import load_official
from tests.goldens import Golden, close, goldens

pytestmark = pytest.mark.golden


def _hidden_states(clip, run) -> list[torch.Tensor]:
    """The outputs of every encoder layer while `run` is called."""
    seen: list[torch.Tensor] = []
    hooks = [
        clip.layer(i).register_forward_hook(lambda _m, _i, out: seen.append(out))
        for i in range(clip.num_layers)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return seen


def _inputs(golden: Golden):
    for name, image in golden.part("in").items():
        yield image, golden.part(f"out.{name}")


@pytest.mark.parametrize("stem", ["vit_plain", "vit_plain_multi"])
def test_image_tower_without_prompts(stem):
    for golden in goldens("zegclip_vit", stem):
        sizes = golden.config
        state = {f"visual.{key}": value for key, value in golden.part("state").items()}
        clip = clip_vit_from_official(state, vision_heads=sizes["heads"])
        for image, expected in _inputs(golden):
            h, w = clip.grid(*image.shape[-2:])
            tokens = clip.embed(image, class_embedding_twice=True)
            close(tokens, expected["pre_ln_tokens"])
            states = clip.hidden_states(tokens)
            for index, state_i in enumerate(states):
                close(state_i, expected[f"hidden_{index}"])
            outputs = sizes["out_indices"]
            joint = clip.to_joint(states[-1])
            close(joint[:, 0], F.normalize(expected["cls"], dim=-1))
            for level, layer in enumerate(outputs):
                picture = expected[f"visual_{level}"]
                if len(outputs) == 1:
                    close(joint[:, 1:].mT.unflatten(2, (h, w)), picture)
                else:
                    close(states[layer][:, 1:].mT.unflatten(2, (h, w)), picture)


@pytest.mark.parametrize("path", ["concat", "kv"])
@pytest.mark.parametrize("stem", ["vit_deep", "vit_partial", "vit_shallow"])
def test_image_tower_with_static_prompts(stem, path):
    for golden in goldens("zegclip_vit", stem):
        state = {f"backbone.{key}": value for key, value in golden.part("state").items()}
        width = golden.config["output_dim"]
        state |= _any_head(width)
        system = load_official(state, vision_heads=golden.config["heads"], decoder_heads=4)
        object.__setattr__(system.config, "prompt_path", path)
        for image, expected in _inputs(golden):
            features = system.encode_normalised(image)
            words = torch.randn(3, width)
            encoded = []

            def run(features=features, words=words, encoded=encoded, system=system):
                encoded.append(system.encoder(features.tensors["tokens"], features.grid, words))

            states = _hidden_states(system.backbone, run)
            close(encoded[0].cls, F.normalize(expected["cls"], dim=-1))
            close(encoded[0].patches.mT.unflatten(2, features.grid), expected["visual_0"])
            if path == "concat":
                for index, state_i in enumerate(states):
                    close(state_i, expected[f"hidden_{index}"])


def _any_head(width: int) -> dict[str, torch.Tensor]:
    """A decode head, so that a bare image tower forms a whole checkpoint."""
    head = {"decode_head.q_proj.weight": (width, 2 * width), "decode_head.q_proj.bias": (width,)}
    layer = "decode_head.decoder_1.layers.0."
    for name in ("multihead_attn.q", "multihead_attn.k", "multihead_attn.v", "multihead_attn.proj"):
        head |= {f"{layer}{name}.weight": (width, width), f"{layer}{name}.bias": (width,)}
    head |= {f"{layer}linear1.weight": (4 * width, width), f"{layer}linear1.bias": (4 * width,)}
    head |= {f"{layer}linear2.weight": (width, 4 * width), f"{layer}linear2.bias": (width,)}
    for name in ("norm2", "norm3"):
        head |= {f"{layer}{name}.weight": (width,), f"{layer}{name}.bias": (width,)}
    return {key: torch.randn(shape) for key, shape in head.items()}


def test_text_tower_and_truncation():
    for golden in goldens("zegclip_text"):
        sizes = golden.config
        clip = clip_vit_from_official(golden.part("state"), text_heads=sizes["transformer_heads"])
        tokens = golden["in.tokens"]
        close(clip.encode_text(tokens), golden["out.embed"])
        longest = int(tokens.argmax(1).max()) + 1
        close(clip.encode_text(tokens[:, :longest]), golden["out.embed"])
