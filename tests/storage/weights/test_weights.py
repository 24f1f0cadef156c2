"""The door for weights: what comes through, and one line for everything else."""

import io
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segtune.errors import WeightsError
from segtune.storage.weights import read_safetensors, read_saved, read_state

from .archive_files import OfficialClip, save_script

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _state():
    tied = torch.randn(4, 3)
    return {
        "a": tied,
        "b": tied.T,
        "half": torch.randn(2).half(),
        "brain": torch.randn(2, 2).bfloat16(),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 5),
        "tail": tied[2:],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "words": torch.tensor([1, 65535], dtype=torch.uint16),
    }


def _same(state, expected):
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [None, "model", "state_dict"])
def test_files_of_torch(tmp_path, zipped, wrapped):
    state = _state()
    if not zipped:
        state.pop("words")  # torch before 1.6 had no such numbers
    saved = {wrapped: state, "epoch": 3, "lr": [0.1]} if wrapped else state
    torch.save(saved, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
    _same(read_state(tmp_path / "model.pth"), state)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_of_a_run(tmp_path, zipped):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    saved = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "step": 1 << 100,
        "notes": [None, True, 0.5, "é\udc80", (1, (2, 3)), {"a": {}}, b"raw", -1, 70_000],
    }
    torch.save(saved, tmp_path / "run.pt", _use_new_zipfile_serialization=zipped)
    read = read_saved(tmp_path / "run.pt")
    assert read["notes"] == saved["notes"]
    assert read["step"] == saved["step"]
    assert read["schedule"]["milestones"] == schedule.state_dict()["milestones"]
    _same(read["model"], model.state_dict())
    exp_avg = optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(read["optimizer"]["state"][0]["exp_avg"], exp_avg)


def test_safetensors(tmp_path):
    state = {"a": torch.randn(2, 3), "b": torch.zeros(0)}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _same(read_state(tmp_path / "model.safetensors"), state)
    assert read_safetensors(tmp_path / "model.safetensors")[1] == {"format": "pt"}


class Hostile:
    """Writes a file when Python's own unpickler meets it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("kind", ["zip", "stream", "plain"])
def test_pickles_do_not_run(tmp_path, kind):
    target, path = tmp_path / "written", tmp_path / "model.pt"
    saved = {"a": torch.ones(1), "b": Hostile(target)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(saved))
        match = "plain pickle"
    else:
        torch.save(saved, path, _use_new_zipfile_serialization=kind == "zip")
        match = "more than tensors and plain values"
    with pytest.raises(WeightsError, match=match) as error:
        read_state(path)
    assert not target.exists()
    assert "weights_only" not in str(error.value)
    pickle.loads(path.read_bytes()) if kind == "plain" else torch.load(path, weights_only=False)
    assert target.exists()  # the attack works on readers that run pickles


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b'{"a": 1}', "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"hello", "no file of torch"),
        (b"PK\x03\x04hello", "no whole zip archive"),
        (b"\x80\x02", "too early"),
        (b"\x80\x02.", "damaged"),
    ],
)
def test_foreign_files(tmp_path, content, match):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=match) as error:
        read_state(tmp_path / "model.pt")
    assert str(tmp_path / "model.pt") in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_and_states_without_tensors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_state(tmp_path / "absent.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="holds a list"):
        read_state(tmp_path / "list.pt")
    torch.save({"a": 1, 2: torch.ones(1)}, tmp_path / "plain.pt")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_state(tmp_path / "plain.pt")


def _files(folder: Path) -> list[Path]:
    """One small file of every kind."""
    state = {"a": torch.randn(2, 2), "b": torch.randn(3).half(), "c": torch.tensor(True)}
    torch.save({"model": state, "step": 3}, folder / "zip.pt")
    torch.save(state, folder / "stream.pt", _use_new_zipfile_serialization=False)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_script(
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)), folder / "s.pt"
    )
    return [folder / name for name in ("zip.pt", "stream.pt", "model.safetensors", "s.pt")]


def test_truncated_files(tmp_path):
    for path in _files(tmp_path):
        content = path.read_bytes()
        for length in range(1, len(content) - 1, max(1, len(content) // 60)):
            path.write_bytes(content[:length])
            with pytest.raises(WeightsError) as error:
                read_state(path)
            assert "\n" not in str(error.value)


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path):
    """Random damage to any byte, and to the bytes inside the archives: no other error."""
    draw = random.Random(0)
    messages = []
    for path in _files(tmp_path):
        original = path.read_bytes()
        for number in range(150):
            content = bytearray(original)
            inner = number % 2 == 0 and original.startswith(b"PK")
            if inner:
                content = bytearray(_damaged_entry(original, draw))
            else:
                for _ in range(draw.randint(1, 4)):
                    content[draw.randrange(len(content))] = draw.choice(
                        (0, 1, 0x7F, 0xFF, draw.randrange(256))
                    )
            path.write_bytes(content)
            try:
                assert all(isinstance(t, torch.Tensor) for t in read_state(path).values())
            except WeightsError as error:
                messages.append(str(error).removeprefix(str(path)))
    assert len(messages) > 200
    assert not any("\n" in message for message in messages)
    assert max(map(len, messages)) <= 300


def _damaged_entry(archive: bytes, draw: random.Random) -> bytes:
    """Changes bytes of the pickle in an archive, with the check sums put right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = bytearray(old.read(name))
            if name.endswith("data.pkl"):
                for _ in range(draw.randint(1, 3)):
                    content[draw.randrange(len(content))] = draw.choice(
                        (0, 40, 255, draw.randrange(256))
                    )
            new.writestr(name, bytes(content))
    return out.getvalue()


def test_a_half_precision_clip_of_openai_comes_through_the_door(tmp_path):
    expected = save_script(OfficialClip().half(), tmp_path / "ViT.pt")
    _same(read_state(tmp_path / "ViT.pt"), expected)
