from pathlib import Path

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.trainers.bundled.scenes.seem_recipe import (
    KIND,
    PRESETS,
    SeemRecipe,
    make_recipe,
    read_recipe,
)

RECIPE = Path(__file__).parents[4] / "recipes" / "zoo" / "seem.yaml"


def test_the_shipped_recipe_is_the_default() -> None:
    assert read_recipe(RECIPE) == SeemRecipe()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_differ_in_effort_and_not_in_the_model(preset: str) -> None:
    recipe = make_recipe({"preset": preset})
    for name in ("embed_dim", "depths", "hidden", "decoder_layers", "num_queries", "text", "crop"):
        assert getattr(recipe, name) == getattr(SeemRecipe(), name)


def test_a_resolved_recipe_reads_back(tmp_path: Path) -> None:
    recipe = make_recipe(
        {
            "preset": "large",
            "seed": 7,
            "depths": [1, 1, 1, 1],
            "layout": "coco-panoptic",
        }
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(KIND.values(recipe)))
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 1}, "'learning_rate' is not a field"),
        ({"preset": "huge"}, "'huge' is not a preset"),
        ({"batch": 0}, "batch=0; expected 1 or more"),
        ({"muon_lr": 0.0}, "muon_lr=0.0; expected more than 0"),
        ({"targets": "pixels"}, "targets='pixels'; expected instances or semantic"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        make_recipe(settings)  # type: ignore[arg-type]


def test_missing_empty_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"seem\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing differs")
    assert read_recipe(tmp_path / "empty.yaml") == SeemRecipe()
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(SegtuneError, match="not a mapping"):
        read_recipe(tmp_path / "list.yaml")
