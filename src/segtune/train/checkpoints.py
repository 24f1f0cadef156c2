"""Checkpoints that survive a killed process or a full disk, and resume a run exactly.

A checkpoint is one file written with `torch.save` and read by `segtune.storage.weights`: the
state of every part that changes while training (model, optimiser, schedule), the step, the state
of every random generator, and the recipe as plain values. It is written to a temporary file in the
same folder, flushed to the disk, and renamed over the old one, so that at every moment the file
under the final name is complete.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from segtune.errors import WeightsError
from segtune.storage.files import sweep, temporary_beside
from segtune.storage.weights import read_saved

FORMAT = 1
Generator = torch.Generator | np.random.Generator


class Stateful(Protocol):
    """Anything with a torch-style state: a module, an optimiser, a schedule."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file says about the run, after its states were put back.

    Attributes:
        step: number of finished steps; the next one to take.
        extra: plain values that the trainer stored (best score, fingerprint of the recipe, ...).
    """

    step: int
    extra: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: Path | str,
    *,
    step: int,
    parts: Mapping[str, Stateful],
    generators: Mapping[str, Generator] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes the state of a run to `path`, atomically: an older file stays intact until the end.

    Args:
        step: number of finished steps.
        parts: name -> model, optimiser, schedule, ...
        generators: name -> generator of the run, of torch or numpy; torch's global generators
            are always stored.
        extra: plain Python values only: numbers, strings, lists, dictionaries with such keys.
    """
    state = {
        "format": FORMAT,
        "step": step,
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "generators": {name: _generator_state(g) for name, g in (generators or {}).items()},
        "global_rng": _global_rng(),
        "extra": dict(extra or {}),
    }
    write_atomically(Path(path), state)


def load_checkpoint(
    path: Path | str,
    *,
    parts: Mapping[str, Stateful],
    generators: Mapping[str, Generator] | None = None,
    map_location: torch.device | str = "cpu",
) -> Checkpoint:
    """Puts the stored state back into `parts` and `generators` and returns the step and extras.

    Loading is strict: the names of the parts and generators must be those that were saved.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is damaged, or belongs to another kind of run.
    """
    state = read_state(path, map_location=map_location)
    return restore(state, path, parts=parts, generators=generators)


def restore(
    state: Mapping[str, Any],
    path: Path | str,
    *,
    parts: Mapping[str, Stateful],
    generators: Mapping[str, Generator] | None = None,
) -> Checkpoint:
    """Puts what `read_state` returned back into `parts` and `generators`; as `load_checkpoint`.

    Args:
        path: where it was read, for messages.
    """
    generators = generators or {}
    for kind, given in (("parts", set(parts)), ("generators", set(generators))):
        if given != set(state[kind]):
            raise WeightsError(
                f"{path} holds the {kind} {sorted(state[kind])}, but this run has {sorted(given)}; "
                "resume with the recipe that wrote the checkpoint"
            )
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    for name, generator in generators.items():
        _set_generator_state(generator, state["generators"][name])
    _set_global_rng(state["global_rng"])
    return Checkpoint(step=state["step"], extra=state["extra"])


def read_state(path: Path | str, *, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Returns the raw content of a checkpoint, for example to export the weights of a running job.

    The keys are `step`, `parts` (name -> state), `generators`, `global_rng` and `extra`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}; leave out --resume to start anew")
    try:
        state = read_saved(path, map_location=map_location)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete it to start anew") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise WeightsError(f"{path} is not a segtune checkpoint of format {FORMAT}")
    return state


def write_atomically(path: Path, state: Mapping[str, Any]) -> None:
    """Saves `state` with torch under a temporary name, then renames it to `path`.

    If anything fails on the way, the temporary file is removed and the file at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = temporary_beside(path)
    try:
        content = io.BytesIO()
        torch.save(dict(state), content)  # into a file it hides a full disk behind a RuntimeError
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # writing to an open file does not name it
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _global_rng() -> dict[str, Any]:
    """Returns the states of torch's own generators, which dropout and the like draw from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def _set_global_rng(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def _generator_state(generator: Generator) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return dict(generator.bit_generator.state)


def _set_generator_state(generator: Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    else:
        generator.bit_generator.state = state
