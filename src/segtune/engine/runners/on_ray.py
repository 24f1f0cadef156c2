"""Ray Data: a pool of actors per step, on this machine or on a cluster that is running.

Steps follow each other for an item, and different items are in different steps at a time. Models
have actors that keep them in memory; Ray starts new ones for those that die, and does their items
again, which costs nothing that is on disk already.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segtune.engine.runners.base import Step
from segtune.errors import SegtuneError

PLACE, CARRIED = "place", "carried"
ANSWER_SECONDS = 5
LOOPBACK = "127.0.0.1"
"""Where Ray listens when it is started here, so that no other machine reaches it."""


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
        rows = [{PLACE: place, CARRIED: _Carried(item)} for place, item in enumerate(items)]
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        for step in steps:
            data = data.map_batches(
                _Actor,
                fn_constructor_args=(step,),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=self.actors),
                num_gpus=self.gpus if step.resource == "model" else 0,
                num_cpus=1,
            )
        # blocks come as they are done: what is early waits for what is before it
        early: dict[int, list[Any]] = {}
        following = 0
        for row in data.iter_rows():
            early[int(row[PLACE])] = row[CARRIED].results
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
        carried = batch[CARRIED][0]
        result = self.worker(carried.item)
        column = np.empty(1, object)
        column[0] = _Carried(carried.item, [*carried.results, result])
        return {PLACE: batch[PLACE], CARRIED: column}


@dataclass
class _Carried:
    """An item and what steps made of it so far; an object, which no column takes apart."""

    item: Any
    results: list[Any] = field(default_factory=list)


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
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
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
        _check_answers(address)
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise SegtuneError(f"cannot join Ray at {address}: {why}") from None
        return False
    # every step has actors of its own, most of which wait: they need not have a core each
    ray.init(
        num_cpus=max(cpus, os.cpu_count() or 1),
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        **quiet,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return True


def _check_answers(address: str) -> None:
    """Raises where nobody listens at HOST:PORT, which Ray itself finds out after minutes.

    Raises:
        SegtuneError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SegtuneError(
            f"nothing answers at {address} ({error}); start Ray there with `ray start --head`, or "
            "give --ray-address local"
        ) from None
