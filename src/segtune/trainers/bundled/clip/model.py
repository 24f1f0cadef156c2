"""Builds the bundled CLIP, runs its image side once for both kinds of embedding, and exports it.

The model is an ordinary `transformers.CLIPModel`. The *image embedding* is CLIP's own. The *patch
embeddings* follow the value path of MaskCLIP (Zhou et al., 2022): in the last layer the attention
is replaced by its values, so that every patch keeps to itself:

    y = x + W_o V(LN1 x);  y = y + MLP(LN2 y);  patch embedding = W_proj LN_post(y)

Both share all layers but the last, so training and dense inference pay for one forward pass.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from segtune.ops.normalisation import CLIP
from segtune.trainers.bundled.clip.recipe import ClipRecipe


def build_clip(recipe: ClipRecipe, *, tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """Returns a CLIPModel of the recipe's sizes with fresh weights drawn from `seed`."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.text_width,
        "intermediate_size": 4 * recipe.text_width,
        "num_hidden_layers": recipe.text_layers,
        "num_attention_heads": recipe.text_heads,
        "max_position_embeddings": recipe.context_length,
        "hidden_act": "quick_gelu",
        "projection_dim": recipe.projection_dim,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": recipe.vision_width,
        "intermediate_size": 4 * recipe.vision_width,
        "num_hidden_layers": recipe.vision_layers,
        "num_attention_heads": recipe.vision_heads,
        "image_size": recipe.image_size,
        "patch_size": recipe.patch_size,
        "hidden_act": "quick_gelu",
        "projection_dim": recipe.projection_dim,
    }
    config = CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=recipe.projection_dim
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(config).float()
    positions = model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        positions[1:] = sincos_positions(recipe.image_size // recipe.patch_size, positions.shape[1])
    return model


def sincos_positions(side: int, width: int, *, amplitude: float = 0.25) -> Tensor:
    """Returns (side * side, width): sines and cosines of row and column at falling frequencies.

    The position table starts from them and is trained: where a patch lies is then as loud as what
    it shows, so shapes are learned far earlier than from CLIP's tiny random table.
    """
    frequencies = 100.0 ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(side)[:, None] * frequencies  # (side, width / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return amplitude * torch.cat([rows, columns], dim=2).flatten(0, 1)


def normalize_images(images: Tensor) -> Tensor:
    """Returns (B, 3, H, W) float32 for the model, from (B, H, W, 3) uint8 RGB."""
    return CLIP.apply(images.float().permute(0, 3, 1, 2)).contiguous()


def encode_images(model: CLIPModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the image embedding and the patch embeddings of the value path.

    Args:
        pixels: (B, 3, H, W), normalised; H and W are multiples of the patch size.

    Returns:
        image_embeds: (B, D), not normalised; equal to `CLIPModel.get_image_features`.
        patch_embeds: (B, h, w, D), not normalised.
    """
    vision = model.vision_model
    height, width = (side // vision.embeddings.patch_size for side in pixels.shape[-2:])
    hidden = vision.embeddings(pixels, interpolate_pos_encoding=True)
    hidden = vision.pre_layrnorm(hidden)  # (B, 1 + h w, C)
    *layers, last = vision.encoder.layers
    for layer in layers:
        hidden = layer(hidden, None)

    normed = last.layer_norm1(hidden)
    values = last.self_attn.v_proj(normed)
    attended = _attend_from_class_token(last.self_attn, normed, values)  # (B, 1, C)
    mixed = torch.cat([attended, values[:, 1:]], dim=1)  # patches keep their own value
    hidden = hidden + last.self_attn.out_proj(mixed)
    hidden = hidden + last.mlp(last.layer_norm2(hidden))
    embeds = model.visual_projection(vision.post_layernorm(hidden))  # (B, 1 + h w, D)
    return embeds[:, 0], embeds[:, 1:].unflatten(1, (height, width))


def encode_texts(model: CLIPModel, tokenizer: CLIPTokenizer, sentences: list[str]) -> Tensor:
    """Returns (T, D) text embeddings, not normalised; too long sentences are cut."""
    tokens = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
    tokens = tokens.to(model.device)
    return model.get_text_features(**tokens).pooler_output


def export_clip(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes the model as a Hugging Face folder with float16 weights, replacing an older one.

    The configuration asks for float32, so that `from_pretrained` computes in full precision.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    half = CLIPModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(temporary)
    (temporary / "model.safetensors").chmod(0o644)  # as the umask would have it
    config = json.loads((temporary / "config.json").read_text(encoding="utf-8-sig"))
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    (temporary / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(temporary)
    (temporary / "preprocessor_config.json").write_text(
        json.dumps(_preprocessing(input_side(model)), indent=2) + "\n"
    )
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def input_side(model: CLIPModel) -> int:
    """Returns the side in pixels of the square images that the position table is made for."""
    config: Any = model.config
    return int(config.vision_config.image_size)


def load_clip(folder: Path | str) -> tuple[CLIPModel, CLIPTokenizer]:
    """Returns model (float32, eval mode) and tokenizer from a local folder."""
    model = CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return model.eval(), CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def _attend_from_class_token(attention: Any, normed: Tensor, values: Tensor) -> Tensor:
    """Returns (B, 1, C): self-attention of the class token alone, before the output projection."""
    heads = attention.num_heads
    query, key, value = (
        x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, tokens, C / heads)
        for x in (attention.q_proj(normed[:, :1]), attention.k_proj(normed), values)
    )
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return attended.transpose(1, 2).flatten(2)


def _preprocessing(side: int) -> dict[str, object]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(CLIP.unit_mean),
        "image_std": list(CLIP.unit_std),
        "do_convert_rgb": True,
        "resample": 3,
    }
