from pathlib import Path

import torch
from transformers import AutoTokenizer, CLIPModel, CLIPTokenizer

from segtune.trainers.bundled.clip.model import (
    build_clip,
    encode_images,
    encode_texts,
    export_clip,
    load_clip,
    normalize_images,
)
from segtune.trainers.bundled.clip.recipe import ClipRecipe, make_recipe


def slow_patch_embeds(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """The value path, from the hidden states that transformers returns."""
    vision = model.vision_model
    output = vision(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    x = output.hidden_states[-2][:, 1:]
    layer = vision.encoder.layers[-1]
    y = x + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(x)))
    y = y + layer.mlp(layer.layer_norm2(y))
    return model.visual_projection(vision.post_layernorm(y))


@torch.inference_mode()
def test_image_embedding_is_clips_own_at_any_size(tiny_clip: CLIPModel) -> None:
    generator = torch.Generator().manual_seed(0)
    for height, width in ((64, 64), (96, 96), (48, 80)):
        pixels = torch.randn(2, 3, height, width, generator=generator)
        image_embeds, patch_embeds = encode_images(tiny_clip, pixels)
        expected = tiny_clip.get_image_features(
            pixel_values=pixels, interpolate_pos_encoding=True
        ).pooler_output
        torch.testing.assert_close(image_embeds, expected, atol=1e-5, rtol=1e-4)
        assert patch_embeds.shape == (2, height // 8, width // 8, 16)
        torch.testing.assert_close(
            patch_embeds.flatten(1, 2), slow_patch_embeds(tiny_clip, pixels), atol=1e-5, rtol=1e-4
        )


@torch.inference_mode()
def test_text_is_pooled_at_the_first_end_token(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer
) -> None:
    alone = encode_texts(tiny_clip, tiny_tokenizer, ["a red star"])
    padded = encode_texts(tiny_clip, tiny_tokenizer, ["a red star", "a photo of a big red star"])
    torch.testing.assert_close(alone[0], padded[0], atol=1e-5, rtol=1e-4)
    assert (padded[0] - padded[1]).abs().max() > 1e-3
    cut = encode_texts(tiny_clip, tiny_tokenizer, ["star " * 100])
    assert cut.shape == (1, 16)


def test_normalize_images() -> None:
    white = torch.full((1, 2, 4, 3), 255, dtype=torch.uint8)
    pixels = normalize_images(white)
    assert pixels.shape == (1, 3, 2, 4)
    torch.testing.assert_close(pixels[0, 0, 0, 0], torch.tensor((1 - 0.48145466) / 0.26862954))


def test_weights_follow_the_seed(tiny_recipe: ClipRecipe, tiny_tokenizer: CLIPTokenizer) -> None:
    before = torch.get_rng_state()
    one, same, other = (
        build_clip(tiny_recipe, tokenizer=tiny_tokenizer, seed=s).state_dict() for s in (3, 3, 4)
    )
    assert torch.equal(before, torch.get_rng_state())
    key = "visual_projection.weight"
    assert torch.equal(one[key], same[key])
    assert not torch.equal(one[key], other[key])


def test_default_recipe_fits_the_size_budget(tiny_tokenizer: CLIPTokenizer) -> None:
    recipe = make_recipe()
    model = build_clip(recipe, tokenizer=tiny_tokenizer, seed=0)
    num_params = sum(p.numel() for p in model.parameters())
    num_params += (recipe.vocab_size - len(tiny_tokenizer)) * recipe.text_width
    assert num_params < 2_900_000


def test_exported_folder_loads_with_transformers(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "clip"
    for _ in range(2):  # the second export replaces the first
        export_clip(tiny_clip, tiny_tokenizer, folder)
    assert [p.name for p in tmp_path.iterdir()] == ["clip"]
    plain = CLIPModel.from_pretrained(folder, local_files_only=True)
    assert plain.dtype == torch.float32
    assert plain.config.text_config.eos_token_id == tiny_tokenizer.eos_token_id != 2
    model, tokenizer = load_clip(folder)
    assert not model.training
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(
            encode_images(model, pixels)[0], encode_images(tiny_clip, pixels)[0], atol=5e-3, rtol=0
        )
    text = "a photo of a striped red star"
    auto = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert auto(text).input_ids == tokenizer(text).input_ids == tiny_tokenizer(text).input_ids
