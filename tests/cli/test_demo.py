import json
from pathlib import Path

import pytest
from PIL import Image

from segtune.cli import demo
from segtune.prompts import Prompts
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps on small scenes; the tiny model cannot read the long names of `base`."""
    monkeypatch.setattr(demo, "WORLD", "synthetic:jargon?size=64")
    monkeypatch.setattr(demo, "BASE", "synthetic:jargon?size=64")
    monkeypatch.setattr(demo, "SHOTS", 2)
    size = demo.Size(steps=2, images=3, base_images=1, examples=2)
    monkeypatch.setattr(demo, "QUICK", size)


def test_the_demo_tells_the_same_story_twice(run: Run, model_folder: str) -> None:
    for out in ("one", "two"):
        outcome = run("demo", "--quick", "--model", model_folder, "--out", out)
        assert (outcome.status, outcome.err) == (0, "")
        assert f"wrote {out}/report.html" in outcome.out
    metrics = json.loads(Path("one/metrics.json").read_text())
    assert metrics == json.loads(Path("two/metrics.json").read_text())
    assert {"zero_shot", "fitted", "retention", "learned"} <= metrics.keys()
    assert metrics["retention"]["before"].keys() == metrics["retention"]["after"].keys()

    page = Path("one/report.html").read_text()
    assert page.count("<figure>") == 2 * 4
    assert "http" not in page
    sheets = sorted(Path("one/overlays").iterdir())
    assert len(sheets) == 2
    assert Image.open(sheets[0]).width == 1600
    images = [path.name for path in sorted(Path("one/images").iterdir())]
    assert images == [path.name for path in sheets]
    assert Prompts.load("one/jargon.safetensors").metrics["fitted"] == metrics["fitted"]
