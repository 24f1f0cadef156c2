"""The options of commands that work on many images: by how many processes, and where."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from segtune.cli.options.values import positive_int, share

if TYPE_CHECKING:
    from segtune.engine.runners.base import Runner

HERE = "local"
"""Address that starts Ray on this machine."""


def worker_options(parser: ArgumentParser) -> None:
    """Adds `--workers` and `--ray-address`."""
    parser.add_argument(
        "--workers",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes, or actors of Ray per stage; default: 1",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help=f"work on Ray: {HERE} starts it on this machine, auto or ray://HOST:10001 joins a "
        "cluster; default: processes of this machine",
    )


def shard_options(parser: ArgumentParser) -> None:
    """Adds `--max-bad` and `--keep-shards`."""
    parser.add_argument(
        "--keep-shards",
        action="store_true",
        help="keep what every stage has written (OUT.part), so that a run with other settings "
        "does no more than they change",
    )
    parser.add_argument(
        "--max-bad",
        type=share,
        default=0.01,
        metavar="X",
        help="share of the images of a shard that may be bad, beyond ten; default: 0.01",
    )


def runner_of(options: Namespace) -> Runner:
    """Returns what does the work."""
    if options.ray_address is None:
        from segtune.engine.runners.local import LocalRunner

        return LocalRunner(options.workers)
    from segtune.engine.runners.on_ray import RayRunner

    address = None if options.ray_address == HERE else options.ray_address
    return RayRunner(options.workers, address=address)
