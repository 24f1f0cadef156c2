"""The prompt file: round trip, header, and everything that can be wrong with it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from segtune.errors import DataError, WeightsError
from segtune.prompts import Prompts, read_prompts
from segtune.types import Concept, Resolution, TemplateSet, Vocabulary


@pytest.fixture
def prompts():
    return Prompts(
        system="rpn",
        options={"static_tokens": 2},
        model="m",
        fingerprint="f" * 16,
        tensors={"a": torch.arange(6.0).view(2, 3), "b.c": torch.tensor(1.5)},
        vocabulary=Vocabulary(
            (
                Concept("straße", ("road", "street"), "stuff", "seen", (1, 2, 3)),
                Concept("car", group="unseen"),
            ),
            negatives=("sky",),
            name="dusk",
        ),
        templates=TemplateSet("single", ("a photo of a {}.",)),
        resolution=Resolution(64, 64, 53),
        training={"shots": 4, "seed": 0},
        metrics={"mIoU": 0.5},
    )


def test_round_trip(prompts, tmp_path):
    path = prompts.save(tmp_path / "new" / "p.safetensors")
    loaded = Prompts.load(path)
    assert all(torch.equal(loaded.tensors[k], prompts.tensors[k]) for k in prompts.tensors)
    for name in ("system", "model", "fingerprint", "vocabulary", "templates", "resolution"):
        assert getattr(loaded, name) == getattr(prompts, name)
    assert loaded.metrics["mIoU"] == 0.5
    assert loaded.num_learned() == 7


def test_the_digest_is_of_what_a_system_is_built_from(prompts, tmp_path):
    digest = prompts.digest()
    assert digest == Prompts.load(prompts.save(tmp_path / "p.safetensors")).digest()
    assert digest == replace(prompts, training={}, metrics={}, model="other").digest()
    assert digest == replace(prompts, tensors=dict(reversed(prompts.tensors.items()))).digest()
    other = {
        "system": "vpt",
        "options": {"static_tokens": 3},
        "tensors": prompts.tensors | {"b.c": torch.tensor(1.25)},
    }
    shapes = prompts.tensors | {"a": torch.arange(6.0).view(3, 2)}
    types = prompts.tensors | {"a": torch.arange(6.0).view(2, 3).bfloat16()}
    changed = [replace(prompts, **{name: value}) for name, value in other.items()]
    changed += [replace(prompts, tensors=tensors) for tensors in (shapes, types)]
    assert len({digest, *(each.digest() for each in changed)}) == 6
    tuples, lists = (replace(prompts, options={"classes": c}) for c in (("a",), ["a"]))
    assert tuples.digest() == lists.digest()


def test_prompts_from_a_file_or_as_they_are(prompts, tmp_path):
    path = prompts.save(tmp_path / "p.safetensors")
    assert read_prompts(prompts) is prompts
    assert read_prompts(None) is None
    assert read_prompts(path).digest() == read_prompts(str(path)).digest() == prompts.digest()


def test_another_model_is_refused(prompts):
    prompts.check_model("m", "f" * 16)
    with pytest.raises(WeightsError, match="type --model m"):
        prompts.check_model("other", "0" * 16)


def test_files_that_are_no_prompt_files(prompts, tmp_path):
    with pytest.raises(FileNotFoundError, match="segtune fit"):
        Prompts.load(tmp_path / "absent.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    whole = prompts.save(tmp_path / "whole.safetensors").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-3]):
        damaged.write_bytes(content)
        with pytest.raises(WeightsError, match="damaged"):
            Prompts.load(damaged)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match="not a prompt file"):
        Prompts.load(other)
    save_file(
        {"a": torch.zeros(1)}, other, metadata={"segtune": json.dumps({"format_version": 99})}
    )
    with pytest.raises(WeightsError, match="format 99"):
        Prompts.load(other)


def test_a_failed_write_keeps_the_old_file(prompts, tmp_path, monkeypatch):
    path = prompts.save(tmp_path / "p.safetensors")
    before = path.read_bytes()

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(DataError, match="No space left"):
        prompts.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
