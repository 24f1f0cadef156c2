"""The commands and the Python of the README, run word by word on small stand-ins."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli.main import main
from segtune.fewshot import fit as fit_module
from tests.data import trees

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (segtune .+?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
PYTHON = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a tiny `camvid/`, `photo.jpg` and `masks/`, where a fit takes two steps."""
    monkeypatch.chdir(tmp_path)
    trees.camvid(tmp_path / "camvid")
    pixels = np.random.default_rng(0).integers(0, 255, (200, 260, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.jpg")
    mask = np.zeros((200, 260), dtype=np.uint8)
    mask[50:150, 60:200] = 255
    Path("masks").mkdir()
    Image.fromarray(mask).save("masks/car.png")
    usual = fit_module.default_config

    def quick(system, task="semantic"):
        config = usual(system, task)
        return replace(config, loop=replace(config.loop, steps=2), views=1, batch=1, trial_steps=1)

    monkeypatch.setattr("segtune.cli.fit.default_config", quick)
    monkeypatch.setattr(fit_module, "default_config", quick)
    return tmp_path


def test_the_readme_has_commands_and_python():
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"fit", "evaluate", "segment"}
    assert len(PYTHON) == 1


@pytest.mark.slow
def test_commands_in_order(folder):
    for command in COMMANDS:
        words = shlex.split(command)[1:]
        if "COMMAND" in words or "MODEL" in words:  # benchmarks have a page and a test of their own
            continue
        # Sixteen shots are more than the stand-in has; its retention needs no forty images.
        if words[0] == "fit":
            words[words.index("--shots") + 1] = "2"
            words += ["--retention", "1"]
        words = [w.replace("synthetic:jargon", "synthetic:jargon?size=64&length=3") for w in words]
        if "--retention" in words and words[0] == "evaluate":
            words[words.index("--retention") : words.index("--retention") + 1] = [
                "--retention",
                "1",
            ]
        assert main(words) == 0, command
    assert Path("report.html").is_file()
    assert list(Path("segmented").rglob("*.png"))


@pytest.mark.slow
def test_python(folder):
    names: dict[str, object] = {}
    exec(PYTHON[0], names)  # the README itself, nothing a user typed
    assert names["result"].semantic.shape == (200, 260)
    assert Path("jargon.safetensors").is_file()
