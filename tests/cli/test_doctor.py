from importlib import metadata
from pathlib import Path

import pytest

from segtune.backbones import cards
from segtune.cli import doctor
from segtune.ops.normalisation import CLIP
from tests.cli.conftest import Run

INSTALLED = {"torch": "2.6.0+cpu", "transformers": "5.1.0"}


class About(dict[str, str]):
    """Metadata of segtune, as far as it is looked at."""


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Pretends that exactly these packages are installed; tests change them."""
    installed = dict(INSTALLED)
    requires = {
        "segtune": ["torch>=2.6", "transformers>=5.0", "pytest>=8; extra == 'dev'"],
        "torchvision": ["numpy", "torch==2.6.0"],
    }

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: requires[name])
    about = About({"Requires-Python": ">=3.11", "Version": "1.0"})
    monkeypatch.setattr(metadata, "metadata", lambda name: about)
    return installed


def problems(findings: list[doctor.Finding]) -> list[str]:
    return [f"{finding.what}: {finding.state}" for finding in findings if finding.is_problem]


def test_versions_within_their_bounds(packages: dict[str, str]) -> None:
    findings = doctor.versions()
    assert [finding.what for finding in findings] == ["python", "segtune", "torch", "transformers"]
    assert problems(findings) == []


def test_versions_that_are_missing_or_too_old(packages: dict[str, str]) -> None:
    packages["torch"] = "2.5.1"
    del packages["transformers"]
    assert problems(doctor.versions()) == [
        "torch: 2.5.1, but segtune needs >=2.6; `pip install 'torch>=2.6'`",
        "transformers: missing; `pip install 'transformers>=5.0'`",
    ]


def test_torchvision_of_another_torch(packages: dict[str, str]) -> None:
    assert "not needed" in doctor.torchvision()[0].state
    packages["torchvision"] = "0.21.0"
    assert problems(doctor.torchvision()) == []
    packages["torch"] = "2.7.0"
    assert problems(doctor.torchvision()) == [
        "torchvision: 0.21.0 needs torch==2.6.0, but torch is 2.7.0; `pip uninstall torchvision`"
    ]


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(doctor.cache()) == []
    Path("file").touch()
    monkeypatch.setenv("SEGTUNE_CACHE", "file/cache")
    assert "set SEGTUNE_CACHE" in problems(doctor.cache())[0]


def test_weights_that_were_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = cards.Card(
        name="tiny",
        kind="clip-vit",
        source="here",
        licence="Apache-2.0",
        input_size=(8, 8),
        normalisation=CLIP,
        folder="tiny",
        sha256="0" * 64,
    )
    monkeypatch.setattr(cards, "ZOO", tmp_path)
    monkeypatch.setattr(doctor, "BUNDLED", (card,))
    assert "is missing" in problems(doctor.weights())[0]
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"other")
    assert "has sha256" in problems(doctor.weights())[0]


def test_the_exit_status_tells_of_problems(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("versions", "torchvision", "device", "cache"):
        monkeypatch.setattr(doctor, check, lambda: [doctor.Finding("x", "fine")])
    monkeypatch.setattr(doctor, "weights", lambda: [])
    assert run("doctor").status == 0
    monkeypatch.setattr(doctor, "weights", lambda: [doctor.Finding("y", "bad", is_problem=True)])
    outcome = run("doctor")
    assert outcome.status == 1
    assert "PROBLEM" in outcome.out
