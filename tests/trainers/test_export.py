from pathlib import Path

import pytest

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state, write_atomically
from segtune.trainers import export as module
from segtune.trainers.export import export, main
from tests.train.toy import SETTINGS, Toy


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of a system that `toy_export` exports."""
    monkeypatch.setattr(module, "EXPORTS", {"toys": f"{__name__}:toy_export"})
    monkeypatch.setattr("segtune.trainers.export.import_module", lambda name: Exports)
    Toy().run(tmp_path / "run", settings=SETTINGS | {"system": "toys"}, stop_after=2)
    return tmp_path / "run"


class Exports:
    """Stands for a module."""

    @staticmethod
    def toy_export(run: Path, folder: Path) -> Path:
        folder.mkdir()
        (folder / "step").write_text(str(read_state(run / "checkpoint.pt")["step"]))
        return folder


def test_the_system_of_the_checkpoint_exports_it(run: Path, capsys) -> None:
    main([str(run), str(run / "model")])
    assert capsys.readouterr().out == f"wrote {run / 'model'}\n"
    assert (run / "model" / "step").read_text() == "2"


def test_checkpoints_that_name_no_system(run: Path) -> None:
    state = read_state(run / "checkpoint.pt")
    write_atomically(run / "checkpoint.pt", {**state, "extra": {"recipe": SETTINGS}})
    with pytest.raises(SegtuneError, match=r"system whose runs can be exported \(--system\)"):
        export(run, run / "model")
    assert export(run, run / "model", system="toys") == run / "model"


def test_every_export_is_there() -> None:
    from importlib import import_module

    for place in module.EXPORTS.values():
        name, _, function = place.partition(":")
        assert callable(getattr(import_module(name), function))
