"""The engine: the same pairs from processes and from Ray, how fast, and what faults cost.

    python benchmarks/engine.py --images 2000                 rows per second, efficiency
    python benchmarks/engine.py --images 400 --faults 10      kills of the driver, workers, actors

Both print a table; `--json FILE` keeps it. Every run writes the same file of pairs, or the script
says so and ends with status 1. Rows that were done before a kill are not done again: regions that
are embedded twice are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from segtune.cli.tables import print_table


@dataclass(frozen=True)
class Row:
    """One way to do the work.

    Attributes:
        graph: mine or align.
        by: processes or Ray.
        workers: how many.
        seconds: of the whole command, and of the stages alone (the slowest way through them).
        rows_per_second: images by the seconds of the whole command.
        equal: the file is that of one process, byte by byte.
        kills: of what, and how many.
        twice: shards of stages that were made more than once.
    """

    graph: str
    by: str
    workers: int
    seconds: float
    rows_per_second: float
    equal: bool
    kills: str = ""
    twice: int = 0


def main() -> None:
    """Runs what was asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--graph", choices=("mine", "align"), default="mine")
    parser.add_argument("--model", help="default: the bundled one of the graph")
    parser.add_argument("--faults", type=int, default=0, help="kills of each kind")
    parser.add_argument("--only", choices=("local", "ray"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(options, Path(folder))
        rows = work.faults() if options.faults else work.speeds()
    table = [
        (
            row.graph,
            row.by,
            str(row.workers),
            row.kills or "none",
            f"{row.seconds:.1f}",
            f"{row.rows_per_second:.2f}",
            "yes" if row.equal else "NO",
            str(row.twice),
        )
        for row in rows
    ]
    heads = ("graph", "by", "workers", "killed", "s", "images/s", "equal", "twice")
    print_table(heads, table, title=f"{options.images} scenes, {os.cpu_count()} cores")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    sys.exit(0 if all(row.equal for row in rows) else 1)


class Work:
    """The same command again and again.

    Args:
        options: of the command line.
        folder: for what is written.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.known: bytes | None = None
        self.number = 0

    def speeds(self) -> list[Row]:
        """Returns a row for one and two processes, and for one and two actors of Ray."""
        return [self._row(by, workers, "") for by in self._ways() for workers in (1, 2)]

    def faults(self) -> list[Row]:
        """Returns an undisturbed row, and one for each kind of kill at random moments."""
        rows = [self._row("local", 1, "")]
        for by in self._ways():
            for what in ("driver", "worker"):
                rows += [self._row(by, 2, what) for _ in range(self.options.faults)]
        return rows

    def _ways(self) -> tuple[str, ...]:
        return ("local", "ray") if self.options.only is None else (self.options.only,)

    def _row(self, by: str, workers: int, kill: str) -> Row:
        out = self.folder / f"{self.number}.jsonl"
        self.number += 1
        begun = time.monotonic()
        tries = self._until_done(out, by, workers, kill, limit=rows_time(self.known_seconds))
        seconds = time.monotonic() - begun
        if self.known_seconds == 0:
            self.known_seconds = seconds
        content = out.read_bytes()
        self.known = self.known or content
        twice = self._twice(out)
        shutil.rmtree(f"{out}.part", ignore_errors=True)
        name = f"{kill}, {tries - 1}x restarted" if kill else ""
        rate = self.options.images / seconds
        return Row(
            self.options.graph, by, workers, seconds, rate, content == self.known, name, twice
        )

    known_seconds = 0.0

    def _until_done(self, out: Path, by: str, workers: int, kill: str, limit: float) -> int:
        """Runs the command until it ends by itself; returns how often it was started."""
        tries, to_kill = 0, bool(kill)
        while True:
            tries += 1
            process = self._start(out, by, workers)
            moment = time.monotonic() + self.random.uniform(0.3, 0.9) * limit
            while process.poll() is None:
                if to_kill and time.monotonic() > moment and self._kill(process, kill):
                    to_kill = False
                time.sleep(0.05)
            if process.returncode == 0:
                return tries
            if process.returncode != -signal.SIGKILL:
                sys.exit(f"the command ended with {process.returncode}")

    def _start(self, out: Path, by: str, workers: int) -> subprocess.Popen[bytes]:
        options = self.options
        words = [options.graph, f"synthetic:base?length={options.images}", "--split", "train"]
        words += ["--out", str(out), "--workers", str(workers)]
        words += ["--nouns", "rules", "--keep-shards"]
        if options.graph == "mine":
            words += ["--no-cache", "--captions", "all"]
        if options.model or options.graph == "align":
            words += ["--model", options.model or "uniovseg-tiny"]
        if by == "ray":
            words += ["--ray-address", "local"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "segtune", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _kill(self, process: subprocess.Popen[bytes], what: str) -> bool:
        """Kills the driver, or one of the processes that do its work; whether there was one."""
        if what == "driver":
            process.send_signal(signal.SIGKILL)
            return True
        for child in psutil.Process(process.pid).children(recursive=True):
            line = " ".join(child.cmdline())
            if "loky" in line or "MapWorker" in line or "ray::" in line:
                child.kill()
                return True
        return False

    def _twice(self, out: Path) -> int:
        """Returns how many shards of stages the manifest has more than once."""
        lines = Path(f"{out}.part", "manifest.jsonl").read_text().splitlines()
        made = [(entry["stage"], entry["shard"]) for entry in map(json.loads, lines)]
        return len(made) - len(set(made))


def rows_time(known: float) -> float:
    """Returns seconds within which a kill comes: those of the undisturbed run."""
    return known or 1e9


if __name__ == "__main__":
    main()
