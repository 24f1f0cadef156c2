"""Ray Data: a pool of actors per step, on this machine or on a cluster that is running.

Steps follow each other for an item, and different items are in different steps at a time. Models
have actors that keep them in memory; Ray starts new ones for those that die, and does their items
again, which costs nothing that is on disk already.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segtune.engine.runners.base import Step
from segtune.errors import SegtuneError

PLACE, ITEM, RESULTS = "place", "item", "results"


class RayRunner:
    """Does the work in actors.

    Args:
        actors: of each step.
        address: of a running cluster, such as "auto" or "ray://host:10001"; None starts Ray on this
            machine and ends it after the work.
        gpus: per actor of a step with a model.
    """

    def __init__(self, actors: int = 1, *, address: str | None = None, gpus: float = 0) -> None:
        if actors < 1:
            raise SegtuneError(f"actors={actors}; expected 1 or more")
        self.actors, self.address, self.gpus = actors, address, gpus

    def map(self, items: Sequence[Any], steps: Sequence[Step]) -> Iterator[list[Any]]:
        """Yields what each step made of every item; see `Runner.map`."""
        ray = _ray()
        own = _start(ray, self.address, cpus=self.actors * len(steps) + 1)
        try:
            yield from self._mapped(ray, items, steps)
        finally:
            if own:
                ray.shutdown()

    def _mapped(self, ray: Any, items: Sequence[Any], steps: Sequence[Step]) -> Iterator[list[Any]]:
        rows = [
            {PLACE: place, ITEM: pickle.dumps(item), RESULTS: pickle.dumps([])}
            for place, item in enumerate(items)
        ]
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        for step in steps:
            data = data.map_batches(
                _Actor,
                fn_constructor_args=(step,),
                batch_size=1,
                concurrency=self.actors,
                num_gpus=self.gpus if step.resource == "model" else 0,
                num_cpus=1,
            )
        # blocks come as they are done: what is early waits for what is before it
        early: dict[int, list[Any]] = {}
        following = 0
        for row in data.iter_rows():
            early[int(row[PLACE])] = pickle.loads(row[RESULTS])  # of our own actors
            while following in early:
                yield early.pop(following)
                following += 1


class _Actor:
    """One step inside an actor."""

    def __init__(self, step: Step) -> None:
        import torch

        torch.set_num_threads(max(int(os.environ.get("OMP_NUM_THREADS", "1")), 1))
        self.worker = step.build()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns a batch of one row with one result more."""
        item, results = batch[ITEM][0], pickle.loads(batch[RESULTS][0])
        results.append(self.worker(pickle.loads(item)))
        return {PLACE: batch[PLACE], ITEM: [item], RESULTS: [pickle.dumps(results)]}


def _ray() -> Any:
    """Returns Ray, quiet.

    Raises:
        SegtuneError: it is not installed.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise SegtuneError("Ray is not installed; pip install 'segtune[ray]'") from None
    logging.getLogger("ray").setLevel(logging.WARNING)
    return ray


def _start(ray: Any, address: str | None, *, cpus: int) -> bool:
    """Joins a cluster, or starts Ray here; returns whether it was started.

    Raises:
        SegtuneError: there is no cluster at the address.
    """
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address is not None:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise SegtuneError(f"cannot join Ray at {address}: {why}") from None
        return False
    # every step has actors of its own, most of which wait: they need not have a core each
    ray.init(num_cpus=max(cpus, os.cpu_count() or 1), include_dashboard=False, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return True
