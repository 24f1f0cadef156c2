"""The files of a run: where it goes on, whether it may, and what it leaves.

A run is told from others by its identity, plain values that it depends on. Its checkpoint is
resumed by a run of the same identity only. After a run diverged, one with other settings takes its
place: that is what its message asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtune.errors import SegtuneError
from segtune.storage.outputs import begins
from segtune.train.checkpoints import Stateful, read_state, restore, save_checkpoint
from segtune.train.names import current
from segtune.train.processes import Processes
from segtune.train.recipe import write_recipe
from segtune.train.step_log import cut_log, has_diverged

CHECKPOINT, LOG, RECIPE = "checkpoint.pt", "log.jsonl", "recipe.yaml"
FREE = frozenset({"save_every", "device", "workers", "system"})
"""Settings of a recipe that may change between parts of a run, or that old ones do not hold."""


@dataclass(frozen=True)
class RunFiles:
    """Where a run keeps its state.

    Attributes:
        checkpoint, log: files; see `segtune.train.checkpoints` and `segtune.train.step_log`.
        identity: plain values; a checkpoint of others is refused.
        free: names in `identity` that may differ.
        recipe: file that gets the identity as YAML; None writes none.
        anew: leave an older checkpoint out of account, and replace it.
        on_begin: called by the main process before the first step, when all is checked.
    """

    checkpoint: Path
    log: Path
    identity: Mapping[str, Any]
    free: frozenset[str] = frozenset()
    recipe: Path | None = None
    anew: bool = False
    on_begin: Callable[[], None] | None = None

    @classmethod
    def in_folder(
        cls, out: Path, settings: Mapping[str, Any], *, resume: bool, anew: bool = False
    ) -> RunFiles:
        """Returns the files of a run that has a folder to itself.

        Args:
            settings: of the recipe, as plain values.
            resume: go on with the run in `out`; start anew where there is none.
            anew: replace the run in `out`, as is done anyway with one that diverged.

        Raises:
            SegtuneError: `out` holds a run and neither is asked for.
        """
        checkpoint, log = out / CHECKPOINT, out / LOG
        anew = anew or (not resume and has_diverged(log))
        if checkpoint.exists() and not resume and not anew:
            raise SegtuneError(f"{out} already holds a run; add --resume or choose another --out")
        return cls(checkpoint, log, settings, FREE, out / RECIPE, anew)

    def begin(self, parts: Mapping[str, Stateful], processes: Processes) -> int:
        """Puts back the state of an interrupted run, and returns the number of finished steps.

        Raises:
            SegtuneError: the checkpoint belongs to a run with other settings, or other processes
                would write it too.
        """
        processes.check_known(self.checkpoint)
        processes.wait()  # until the main process has written what it had to
        state = self._stored()
        processes.wait()  # until all have read what it changes now
        start = 0
        if state is not None:
            start = restore(state, self.checkpoint, parts=parts).step
            processes.load_state(state["extra"])
        if processes.is_main:
            if state is None:
                self.checkpoint.unlink(missing_ok=True)
            cut_log(self.log, start)
            if self.recipe is not None:
                write_recipe(self.recipe, self.identity)
            if self.on_begin is not None:
                self.on_begin()
        return start

    def save(self, done: int, parts: Mapping[str, Stateful], processes: Processes) -> None:
        """Writes the checkpoint of a step, atomically."""
        extra = {"identity": _through_json(self.identity), **processes.state()}
        save_checkpoint(self.checkpoint, step=done, parts=parts, extra=extra)

    def _stored(self) -> dict[str, Any] | None:
        if self.anew or not self.checkpoint.is_file():
            return None
        state = read_state(self.checkpoint)
        given = _through_json(self.identity)
        names = [n for n in _differences(identity_of(state), given) if n not in self.free]
        if names and has_diverged(self.log):
            return None
        if names:
            raise SegtuneError(
                f"{self.checkpoint} belongs to a run with other settings for {', '.join(names)}; "
                "repeat the settings that wrote it, or delete it to start anew"
            )
        return state


def is_run(folder: Path) -> bool:
    """Whether there is a run in a folder, going on or finished."""
    written = begins(b"# resolved; versions: ")
    return written(folder / RECIPE) or (folder / CHECKPOINT).is_file()


def identity_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings in the state of a checkpoint, under their present names."""
    extra = state["extra"]
    values = extra.get("identity", extra.get("recipe", {}))  # "recipe" until version 0.1
    return dict(current(_through_json(values)))


def _through_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with lists for tuples, as a checkpoint cannot tell them apart."""
    return dict(json.loads(json.dumps(values)))


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterable[str]:
    """Yields the dotted names of values that differ."""
    for name in [*one, *(name for name in two if name not in one)]:
        a, b = one.get(name), two.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (f"{name}.{inner}" for inner in _differences(a, b))
        elif a != b or (name in one) != (name in two):
            yield str(name)
