"""Images segmented by several processes, or on Ray; a killed run goes on.

What is answered already lies in OUT.part until all files of the results are written.
"""

from __future__ import annotations

import io
import os
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from segtune.cli.images import ImageFile
from segtune.cli.jobs.segment import Answer, Job
from segtune.cli.options.workers import runner_of
from segtune.data.readable import what_is_bad
from segtune.engine.graph import Bad, Graph, Row, Stage
from segtune.engine.run import is_work, run_graph
from segtune.engine.source import divided, stamp
from segtune.errors import SegtuneError
from segtune.predict.packed import packed, unpacked
from segtune.storage.images import read_image

IMAGES_PER_SHARD = 8
NOT_OF_ANSWERS = (
    *("out", "force", "workers", "ray_address", "formats", "images", "command", "like", "debug"),
)
"""Options that no answer depends on."""


def answers_of_many(
    job: Job, make: Callable[[], Job], images: Sequence[ImageFile], *, options: Namespace
) -> Iterator[Answer]:
    """Yields the answers in the order of the images; those that have none are reported.

    Args:
        job: counts what was found.
        make: makes a job like it in another process.
        images: to segment.
        options: of the command.
    """
    folder = options.out.with_name(f"{options.out.name}.part")
    if os.path.lexists(folder) and not is_work(folder):
        raise SegtuneError(
            f"{folder} is in the way and no unfinished run; move it, or choose another --out"
        )
    stage = Stage(
        "answers",
        ("id", "path", "stamp"),
        {"answer": "bytes"},
        partial(AnswerStage, make),
        settings_of(job, options),
        resource="model",
    )
    graph = Graph("segment", {"id": "text", "path": "text", "stamp": "text"}, (stage,))
    rows = [{"id": i.name, "path": str(i.path), "stamp": stamp(i.path)} for i in images]
    shards = divided(rows, IMAGES_PER_SHARD)
    ran = run_graph(graph, shards, folder, runner=runner_of(options), max_bad=1.0)
    vocabulary = job.vocabulary or job.unnamed
    for place, row, reason in ran.in_order(ran.columns(graph, ("answer",))):
        image = images[place]
        if row is None:
            job.fail(reason)
            continue
        result = unpacked(row["answer"], vocabulary)
        yield job.counted(Answer(image.name, read_image(image.path), result))
    shutil.rmtree(folder, ignore_errors=True)


def settings_of(job: Job, options: Namespace) -> dict[str, Any]:
    """Returns all that answers depend on: options, the files that they name, the weights."""
    given: Mapping[str, Any] = vars(options)
    settings = {k: _plain(v) for k, v in sorted(given.items()) if k not in NOT_OF_ANSWERS}
    vocabulary = None if job.vocabulary is None else str(job.vocabulary)
    return {**settings, "weights": job.model.backbone.fingerprint, "words": vocabulary}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return stamp(value) or str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class AnswerStage:
    """Answers images in a process of its own.

    Args:
        make: makes the job, with its models.
    """

    def __init__(self, make: Callable[[], Job]) -> None:
        with redirect_stdout(io.StringIO()):  # what is opened is said once, by the command
            self.job = make()

    def __call__(self, rows: Sequence[Row]) -> list[Row | Bad]:
        """Returns the packed answer of each image, or why there is none."""
        return [self._one(ImageFile(row["id"], Path(row["path"]))) for row in rows]

    def _one(self, image: ImageFile) -> Row | Bad:
        try:
            answer = self.job.answer(image)
        except Exception as error:
            if not self.job.is_about_one_image(error):
                raise
            return Bad(what_is_bad(error, str(image.path)))
        if answer is None:
            return Bad(f"{image.path.name}: its masks cannot be read")
        return {"answer": packed(answer.result)}
