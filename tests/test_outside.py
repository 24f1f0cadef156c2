"""A package from outside adds a frozen model and systems through its entry points alone.

`tests/outside` is put on the path as an installed package would be; the commands then run in a
process that has never heard of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from segtune.predict.segmenter import Segmenter
from tests.outside.toyseg.config import ToyConfig
from tests.outside.toyseg.model import tiny
from tests.outside.toyseg.system import ToySystem

OUTSIDE = Path(__file__).parent / "outside"
DATA = "scenes"
COMMANDS = {
    "models": ["models"],
    "systems": ["systems"],
    "options": ["systems", "toyshift"],
    "segment": ["segment", "photo.png", "--model", "toymodel", "--vocab", "red, green"],
    "fit": ["fit", DATA, "--model", "toymodel", "--out", "p.safetensors", "--all"],
    "fit another": [
        *("fit", DATA, "--model", "toymodel", "--out", "q.safetensors", "--shots", "2"),
        *("--system", "toyshift", "--set", "scale=5", "--steps", "2", "--lr", "0.1"),
    ],
    "evaluate": ["evaluate", DATA, "--model", "toymodel", "--json", "before.json"],
    "evaluate fitted": [
        *("evaluate", DATA, "--model", "toymodel", "--prompts", "p.safetensors"),
        *("--json", "after.json"),
    ],
    "segment fitted": [
        *("segment", "photo.png", "--model", "toymodel", "--prompts", "p.safetensors"),
        *("--out", "fitted"),
    ],
    "another model": ["fit", DATA, "--system", "toyshift", "--out", "r.safetensors"],
    "an unknown option": [
        *("fit", DATA, "--model", "toymodel", "--set", "shift=1", "--out", "s.safetensors"),
    ],
}
DRIVER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from segtune.cli.main import main
found = {}
for name, words in json.loads(sys.argv[1]).items():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(words)
    found[name] = [status, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weights of the toy model in its own layout, a photo, and labels that the model gets wrong."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "toymodel").mkdir()
    model = tiny(seed=1)
    save_file(model.state_dict(), folder / "toymodel" / "model.safetensors")
    (folder / "toymodel" / "config.json").write_text('{"model_type": "toy", "width": 8}')
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15, 0] = pixels[:, 15:, 1] = 255
    Image.fromarray(pixels).save(folder / "photo.png")
    gray = np.full((32, 40, 3), 128, np.uint8)
    system = ToySystem(model, ToyConfig(), name="toy")
    said = Segmenter(model).segment(gray, "red, green", system=system).semantic
    for name, content in (("images", gray), ("labels", (1 - said).astype(np.uint8))):
        (folder / "scenes" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(content).save(folder / "scenes" / name / f"{i}.png")
    (folder / "scenes" / "classes.txt").write_text("red\ngreen\n")
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[str, tuple[int, str, str]]:
    """Exit status, output and errors of every command."""
    paths = [str(OUTSIDE), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    environment["SEGTUNE_CACHE"] = str(folder / "cache")
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(COMMANDS)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return {name: tuple(found) for name, found in json.loads(ran.stdout).items()}


def test_they_are_listed_with_their_options(done):
    assert "takes points" in done["models"][1]
    assert any(line.split()[:2] == ["toy", "Toy"] for line in done["models"][1].splitlines())
    assert "one shift per class of the fit" in done["systems"][1]
    assert "scale=10  (number)\n        of the comparison with words." in done["options"][1]
    assert "--steps 30 --lr 0.5" in done["options"][1]


@pytest.mark.parametrize("name", ["segment", "fit", "fit another", "evaluate", "evaluate fitted"])
def test_commands_run_with_them(done, name):
    status, _, errors = done[name]
    assert (status, errors) == (0, "")


def test_a_fit_takes_the_system_its_defaults_and_its_options(done, folder):
    from segtune.prompts import Prompts

    prompts = Prompts.load(folder / "p.safetensors")
    assert (prompts.system, prompts.model) == ("toyshift", "toymodel")
    assert prompts.training["config"]["loop"]["steps"] == 30
    assert prompts.training["config"]["loop"]["lr"] == 0.5
    assert len(prompts.options["classes"]) == prompts.num_learned() > 0
    other = Prompts.load(folder / "q.safetensors")
    assert other.options["scale"] == 5
    assert other.training["config"]["loop"]["lr"] == 0.1


def test_the_prompts_change_the_answers(done, folder):
    before, after = (
        json.loads((folder / name).read_text()) for name in ("before.json", "after.json")
    )
    scores = [[row["summary"]["pAcc"] for row in report["rows"]] for report in (before, after)]
    assert scores == [[0.0], [0.0, 1.0]]  # the zero-shot row stands before that of the prompts
    assert done["segment fitted"][0] == 0
    assert (folder / "fitted").is_dir()


def test_mistakes_are_told_as_for_our_own(done):
    status, _, error = done["another model"]
    assert status == 2
    assert "toyshift runs on a model of kind toy but seem-tiny is of kind seem" in error
    status, _, error = done["an unknown option"]
    assert (status, error) == (
        2,
        "segtune: toyshift has no option shift; options are classes, scale\n",
    )


def test_without_the_package_nothing_is_left_of_it(folder):
    from segtune.backbones.hub import load_backbone
    from segtune.errors import SegtuneError, WeightsError
    from segtune.systems import build_system

    with pytest.raises(WeightsError, match="'toy' model"):
        load_backbone(folder / "toymodel")
    with pytest.raises(SegtuneError, match="'toyshift' is not a system"):
        build_system("toyshift", tiny())
    assert torch.is_tensor(tiny().letters.weight)


def test_the_systems_join_the_battery_by_their_specs():
    battery = Path(__file__).parent / "systems" / "test_every_system.py"
    paths = [str(OUTSIDE), str(Path(__file__).parents[1]), *filter(None, sys.path)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(battery), "-k", "toy"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    [passed] = re.findall(r"(\d+) passed", ran.stdout)
    assert int(passed) >= 20
