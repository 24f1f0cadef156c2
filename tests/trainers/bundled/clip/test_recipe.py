from pathlib import Path

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.trainers.bundled.clip.recipe import PRESETS, ClipRecipe, make_recipe, read_recipe

RECIPE = Path(__file__).parents[4] / "recipes" / "zoo" / "clip_vit.yaml"


def test_the_shipped_recipe_is_the_default() -> None:
    assert read_recipe(RECIPE) == ClipRecipe()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_differ_in_effort_and_not_in_the_model(preset: str) -> None:
    recipe = make_recipe(preset)
    for name in ("vision_width", "vision_layers", "text_width", "vocab_size", "patch_size"):
        assert getattr(recipe, name) == getattr(ClipRecipe(), name)


def test_a_resolved_recipe_reads_back(tmp_path: Path) -> None:
    recipe = make_recipe("large", seed=7, scene_windows=[64, 96])
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.to_dict()))
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp8"}, "precision"),
        ({"image_size": 60}, "multiple of the patch size"),
        ({"scene_windows": [256]}, "scene_size"),
        ({"learning_rate": 1}, "unknown settings"),
        ({"preset": "huge"}, "no preset 'huge'"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        make_recipe(**settings)  # type: ignore[arg-type]


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="clip_vit"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(SegtuneError, match="not a mapping"):
        read_recipe(tmp_path / "list.yaml")
