"""`segtune segment`: masks for words, on any number of images."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from segtune.cli.images import ImageFile, find_images
from segtune.cli.loading import open_model, open_prompts, resolution_of
from segtune.cli.outputs import Answer, choose_task, write_answers
from segtune.cli.tables import percent, print_table
from segtune.data.images import read_image
from segtune.errors import DataError, SegtuneError
from segtune.prompts import Prompts
from segtune.segmenter import Segmenter
from segtune.types import Resolution, Sample, Task, Vocabulary
from segtune.vocabulary.parse import comma_list, read_vocabulary

SOME_FAILED = 1
"""Exit status where some images could not be read."""


@dataclass
class Job:
    """What to do with every image, and what was found on the way.

    Attributes:
        shares: class name -> summed share of the images.
        counts: class name -> images that show it.
        num_done: images that were segmented.
        num_failed: words and images that could not be read.
    """

    model: Segmenter
    prompts: Prompts | None
    vocabulary: Vocabulary
    task: Task
    resolution: Resolution
    shares: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    num_done: int = 0
    num_failed: int = 0

    def answers(self, images: Sequence[ImageFile]) -> Iterator[Answer]:
        """Yields the answer for every image that can be read; the others are reported."""
        for image in tqdm(images, "segment", disable=None):
            try:
                pixels = read_image(image.path)
            except (DataError, OSError) as error:
                self.fail(str(error))
                continue
            result = self.model.segment(
                Sample(image.name, pixels),
                self.vocabulary,
                prompts=self.prompts,
                task=self.task,
                resolution=self.resolution,
            )
            self.num_done += 1
            for name, share in result.classes_found().items():
                self.shares[name] = self.shares.get(name, 0.0) + share
                self.counts[name] = self.counts.get(name, 0) + 1
            yield Answer(image.name, pixels, result)

    def fail(self, problem: str) -> None:
        """Reports one image that is left out."""
        self.num_failed += 1
        tqdm.write(f"segtune: {problem}", file=sys.stderr)


def run(options: Namespace) -> int:
    """Segments the images, prints what was found and where the files are."""
    task, formats = choose_task(options.task, options.formats)
    prompts = open_prompts(options)
    vocabulary = _vocabulary(options, prompts)
    images, problems = find_images(options.images)
    if not images:
        raise SegtuneError(problems[0])
    model = open_model(options, prompts)
    job = Job(model, prompts, vocabulary, task, resolution_of(options, model, prompts))
    for problem in problems:
        job.fail(problem)
    written = write_answers(
        job.answers(images),
        images,
        formats=formats,
        folder=options.out,
        vocabulary=vocabulary,
    )
    _print_classes(job)
    if job.num_done:
        print(f"wrote {', '.join(map(str, written))}")
    if job.num_failed:
        total = job.num_done + job.num_failed
        print(f"segtune: {job.num_failed} of {total} inputs could not be read", file=sys.stderr)
        return SOME_FAILED
    return 0


def _vocabulary(options: Namespace, prompts: Prompts | None) -> Vocabulary:
    """Returns the words of `--vocab`, else of the prompts, with the negatives of `--not`."""
    if options.vocab is not None:
        vocabulary = read_vocabulary(options.vocab)
    elif prompts is not None:
        vocabulary = prompts.vocabulary
    else:
        raise SegtuneError('no words to look for; type --vocab "road, car, tree"')
    if options.negatives is None:
        return vocabulary
    words = comma_list(options.negatives, name="negatives").names
    return replace(vocabulary, negatives=tuple(dict.fromkeys((*vocabulary.negatives, *words))))


def _print_classes(job: Job) -> None:
    """Prints the classes found with their mean share of the images, largest first."""
    ranked = sorted(job.shares.items(), key=lambda item: -item[1])
    rows = [(name, percent(share / job.num_done), str(job.counts[name])) for name, share in ranked]
    plural = "s" if job.num_done != 1 else ""
    title = f"{len(ranked)} of {len(job.vocabulary)} classes in {job.num_done} image{plural}"
    print_table(("class", "% of pixels", "images"), rows, title=title)
