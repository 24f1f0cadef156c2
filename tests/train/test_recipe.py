"""The one reader of recipes, on a kind of its own; what is wrong is said in one line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.train.recipe import RecipeKind, read_yaml, replaced, write_recipe


@dataclass(frozen=True)
class Part:
    mode: Literal["fast", "slow"]
    lr: float = 1.0


@dataclass(frozen=True)
class Whole:
    name: str = "whole"
    steps: int = 5
    scale: tuple[float, float] = (0.5, 1.0)
    part: Part = Part("slow", 7.0)
    parts: tuple[Part, ...] = ()
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SegtuneError(f"steps={self.steps}; expected 1 or more")


PRESETS = {"small": {"steps": 2}, "large": {"steps": 900, "name": "giant"}}
KIND = RecipeKind(Whole, "recipes/whole.yaml", system="toys", presets=PRESETS, default="small")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_preset_file_and_overrides_in_that_order(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", "system: toys\npreset: large\nscale: [1e-3, 2]\n")
    assert KIND.read(path) == Whole("giant", 900, (0.001, 2))
    changes = {"part.lr": 3, "steps": 1, "preset": "small", "options.a": "b"}
    recipe = KIND.read(path, overrides=changes)
    assert recipe == Whole("whole", 1, (0.001, 2), Part("slow", 3), options={"a": "b"})
    assert KIND.make() == Whole(steps=2)
    assert KIND.read(write(path, "# nothing differs")) == Whole(steps=2)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    recipe = Whole("a", 3, (0.1, 0.2), Part("fast"), (Part("slow"), Part("fast", 2.0)))
    values = KIND.values(recipe)
    assert list(values)[:2] == ["system", "name"]
    write_recipe(tmp_path / "r.yaml", values)
    assert KIND.read(tmp_path / "r.yaml") == recipe
    text = (tmp_path / "r.yaml").read_text()
    assert text.startswith("# resolved; versions: {'torch': ")
    assert yaml.safe_load(text) == values


def test_what_a_mapping_leaves_open_is_as_in_the_default_of_its_field() -> None:
    assert KIND.make({"part": {"lr": 2.0}}).part == Part("slow", 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed: 3", "'speed' is not a field; known: name, steps"),
        ("step: 3", "'step' is not a field; did you mean steps"),
        ("steps: many", "steps='many'; expected int"),
        ("steps: true", "steps=True; expected int"),
        ("steps: 1.5", "steps=1.5; expected int"),
        ("scale: [1]", r"scale=\[1\]; expected tuple\[float, float\]"),
        ("part: {lr: 2, sped: 1}", "'sped' is not a field of part"),
        ("part: {mode: quick}", r"part\.mode='quick'; expected fast or slow"),
        ("parts: [{mode: fast}, {lr: 2}]", r"parts\[1\]\.mode is missing"),
        ("parts: [{mode: fast}, 3]", "parts=.*; expected tuple"),
        ("options: 3", "options=3; expected dict"),
        ("steps: 0", "steps=0; expected 1 or more"),
        ("preset: huge", "'huge' is not a preset; known: small, large"),
        ("preset: 3", "'3' is not a preset"),
        ("- steps", "is not a mapping"),
        ("steps: [", "is not valid YAML"),
    ],
)
def test_mistakes_name_file_and_field_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "r.yaml", text)
    with pytest.raises(SegtuneError, match=message) as caught:
        KIND.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no recipe at .*r\.yaml; .* recipes/whole\.yaml"):
        KIND.read(tmp_path / "r.yaml")


@pytest.mark.parametrize("word", ["1e-3", "1E-3", "+1.e-3", "-.5e2", "3e+2", "1.0e-3", "2"])
def test_numbers_are_numbers(tmp_path: Path, word: str) -> None:
    """YAML 1.1 takes 1e-3 for a word."""
    found = read_yaml(write(tmp_path / "r.yaml", f"lr: {word}"), example="r.yaml")
    assert found == {"lr": float(word)}


def test_words_stay_words(tmp_path: Path) -> None:
    text = "a: e5\nb: 1e\nc: 5e3x\nd: '1e-3'\n"
    found = read_yaml(write(tmp_path / "r.yaml", text), example="r.yaml")
    assert found == {"a": "e5", "b": "1e", "c": "5e3x", "d": "1e-3"}


def test_overrides_inside_of_a_number_are_refused() -> None:
    with pytest.raises(SegtuneError, match=r"fit\.loop\.lr cannot be set: fit\.loop is 3"):
        replaced({"fit": {"loop": 3}}, {"fit.loop.lr": 1.0})
    values = {"fit": {"batch": 1}}
    assert replaced(values, {"fit.batch": 2}) == {"fit": {"batch": 2}}
    assert values == {"fit": {"batch": 1}}
