from pathlib import Path

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.trainers.bundled.clip.recipe import KIND, PRESETS, ClipRecipe, make_recipe, read_recipe

RECIPE = Path(__file__).parents[4] / "recipes" / "zoo" / "clip_vit.yaml"


def test_the_shipped_recipe_is_the_default() -> None:
    assert read_recipe(RECIPE) == ClipRecipe()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_differ_in_effort_and_not_in_the_model(preset: str) -> None:
    recipe = make_recipe({"preset": preset})
    for name in ("vision_width", "vision_layers", "text_width", "vocab_size", "patch_size"):
        assert getattr(recipe, name) == getattr(ClipRecipe(), name)


def test_a_resolved_recipe_reads_back(tmp_path: Path) -> None:
    recipe = make_recipe({"preset": "large", "seed": 7, "scene_windows": [64, 96]})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(KIND.values(recipe)))
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp8"}, "precision"),
        ({"image_size": 60}, "multiple of the patch size"),
        ({"scene_windows": [256]}, "scene_size"),
        ({"steps": 0}, "steps=0; expected 1 or more"),
        ({"lr": 0}, "lr=0; expected more than 0"),
        ({"warmup": -1}, "warmup=-1; expected 0 or more"),
        ({"learning_rate": 1}, "'learning_rate' is not a field"),
        ({"preset": "huge"}, "'huge' is not a preset"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        make_recipe(settings)  # type: ignore[arg-type]


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="clip_vit"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(SegtuneError, match="not a mapping"):
        read_recipe(tmp_path / "list.yaml")


def test_the_cosine_starts_again_at_a_restart() -> None:
    recipe = make_recipe({"steps": 20, "warmup": 1, "restarts": [10, 90], "lr_drop_step": 99})
    rates = [recipe.pace().rate(step, 2.0) for step in range(20)]
    assert rates[10] == 2.0 == max(rates)
    assert rates[9] < 0.2
    assert rates[19] < 0.2


def test_the_learning_rate_drops_where_the_recipe_says() -> None:
    rates = {
        drop: make_recipe({"steps": 9, "lr_drop_step": drop, "lr_drop": 0.3}).pace().rate(2, 1.0)
        for drop in (2, 100)
    }
    assert rates[2] == pytest.approx(0.3 * rates[100])


def test_both_optimisers_follow_the_same_rates() -> None:
    recipe = make_recipe({"steps": 9, "warmup": 2})
    for step in range(9):
        muon, adamw = (recipe.pace().rate(step, peak) for peak in (4.0, 1.0))
        assert muon / adamw == pytest.approx(4.0)
