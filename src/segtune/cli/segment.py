"""`segtune segment`: masks for words, points or boxes, names for masks, on any number of images."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from segtune.cli.images import ImageFile, find_images
from segtune.cli.jobs.segment import Answer, Job
from segtune.cli.loading import open_model, open_prompts, open_system, resolution_of
from segtune.cli.options import clicks
from segtune.cli.options.clicks import Pointing
from segtune.cli.options.outputs import choose_task, image_refs
from segtune.cli.tables import percent, print_table
from segtune.data.formats import read_vocabulary
from segtune.data.formats.coco.like import read_ids
from segtune.data.masks.source import MaskSource
from segtune.errors import DataError, SegtuneError
from segtune.export.folder import ResultFolder
from segtune.export.sinks import SINKS
from segtune.predict.clicks import check_inside, read_boxes, read_clicks
from segtune.predict.look import UNNAMED
from segtune.predict.naming import DEFAULT_CLIP
from segtune.predict.segmenter import Segmenter
from segtune.predict.similar import Shown
from segtune.prompts import Prompts
from segtune.storage.images import image_size
from segtune.storage.locks import locked
from segtune.storage.outputs import begins, check_folder
from segtune.types import Resolution, Segmentation, Task, Vocabulary
from segtune.vocabulary.entries import comma_list

SOME_FAILED = 1
"""Exit status where some images could not be read."""
POINTING_FORMATS = ("overlay", "coco")
"""What answers to points, boxes and masks are written as by default."""
MASKS_SHOWN = 20
"""Masks whose names are printed, of a single image."""


def run(options: Namespace) -> int:
    """Segments the images, prints what was found and where the files are."""
    pointing = _pointing(options)
    shows = _is_shown(options)
    finds_masks = not (pointing or options.masks or options.everything or shows)
    if finds_masks:
        task, formats = choose_task(options.task, options.formats)
        if task == "semantic" and options.min_score is not None:
            raise SegtuneError("--min-score is about segments; add --task instance or panoptic")
    else:
        task, formats = "panoptic", tuple(options.formats or POINTING_FORMATS)
    prompts = open_prompts(options)
    needs_words = not (pointing or options.everything or shows)
    vocabulary = _vocabulary(options, prompts, needed=needs_words)
    images, problems = find_images(options.images)
    if not images:
        raise SegtuneError(problems[0])
    if pointing is not None:
        pointing, images = _checked(pointing, images)
    if options.masks is not None and options.model is None and prompts is None:
        options.model = DEFAULT_CLIP
    _check_out(options, images, formats)
    like = None if options.like is None else read_ids(options.like)
    if like is not None:  # before the model is loaded
        image_refs(images, like)
        like.of_classes(vocabulary or UNNAMED)
    make = partial(_job, options, vocabulary, task, pointing, tuple(images))
    job = make()
    for problem in problems:
        job.fail(problem)
    with (
        locked(options.out),
        ResultFolder(
            options.out,
            vocabulary or job.unnamed,
            formats=formats,
            images=image_refs(images, like),
            category_ids=None if like is None else like.of_classes(vocabulary or job.unnamed),
            things_only=finds_masks,
        ) as folder,
    ):
        for answer in _answers(options, job, make, images):
            folder.add(answer.name, answer.pixels, answer.result)
    if job.masks is not None and job.num_images == 1 and job.last is not None:
        _print_masks(job.last)
    else:
        _print_classes(job)
    if job.num_done:
        print(f"wrote {', '.join(map(str, folder.written))}")
    if job.num_failed:
        total = job.num_done + job.num_failed
        print(f"segtune: {job.num_failed} of {total} inputs could not be read", file=sys.stderr)
        return SOME_FAILED
    return 0


def _job(
    options: Namespace,
    vocabulary: Vocabulary | None,
    task: Task,
    pointing: Pointing | None,
    images: Sequence[ImageFile],
) -> Job:
    """Returns what answers images, with its models loaded; worker processes call it."""
    prompts = open_prompts(options)
    model = open_model(options, prompts)
    resolution = resolution_of(options, model, prompts)
    return Job(
        model,
        prompts,
        vocabulary,
        task,
        resolution,
        options.min_score,
        pointing,
        _masks(options, images),
        options.skip_empty,
        num_images=len(images),
        system=open_system(options, model, prompts),
        everything=options.everything,
        shown=_shown(options, model, resolution),
    )


def _answers(
    options: Namespace, job: Job, make: Callable[[], Job], images: Sequence[ImageFile]
) -> Iterator[Answer]:
    """Yields the answers in the order of the images, by this process or by several."""
    if options.workers == 1 and options.ray_address is None:
        return job.answers(images)
    from segtune.cli.jobs.shards import answers_of_many

    return answers_of_many(job, make, images, options=options)


def _check_out(options: Namespace, images: Sequence[ImageFile], formats: Sequence[str]) -> None:
    """Raises where results could not be written, or something else would be lost."""
    places = [SINKS.find(name).files for name in formats]
    files = [place.replace("{name}", image.name) for image in images for place in places]
    read = [image.path for image in images]
    read += [path for path in (options.prompts, options.masks) if path is not None]
    read += [*(options.support or ()), *(options.support_mask or ())]
    check_folder(
        options.out,
        writes=["vocabulary.json", *dict.fromkeys(files)],
        is_ours=is_result_folder,
        force=options.force,
        inputs=read,
    )


def is_result_folder(folder: Path) -> bool:
    """Whether results were written into a folder: its vocabulary.json is as they have it."""
    return begins(b'{\n "name": ', within=b'\n "classes": ')(folder / "vocabulary.json")


def _pointing(options: Namespace) -> Pointing | None:
    """Returns what `--points` or `--boxes` point at; None without them."""
    if options.skip_empty and options.masks is None:
        raise SegtuneError("--skip-empty is about masks that are given; add --masks PATH")
    if options.skip_bad and options.masks is None:
        raise SegtuneError("--skip-bad is about masks that are given; add --masks PATH")
    if options.everything:
        words = (options.vocab, options.prompts, options.negatives, options.task, options.system)
        if any(each is not None for each in words) or options.settings or options.crop is not None:
            raise SegtuneError(
                "--everything finds masks without names by the frozen model; leave --vocab, --not, "
                "--prompts, --task, --crop, --system and --set out"
            )
        return None
    asks = any(each is not None for each in (options.masks, options.points, options.boxes))
    if asks and (options.system is not None or options.settings):
        raise SegtuneError(
            "points, boxes and masks are answered by the frozen model; leave --system and --set out"
        )
    if options.masks is not None:
        if options.task is not None or options.crop is not None or options.size is not None:
            raise SegtuneError(
                "--masks names the masks that are given; leave --task, --size and --crop out"
            )
        if not options.masks.exists():
            raise FileNotFoundError(f"masks {options.masks} do not exist; check the path")
        return None
    if options.points is None and options.boxes is None:
        return None
    if options.task is not None or options.crop is not None:
        raise SegtuneError(
            "points and boxes are answered with one mask each, from the whole image; leave --task "
            "and --crop out"
        )
    if options.points is not None:
        return clicks.points(options.points)
    return clicks.boxes(options.boxes)


def _is_shown(options: Namespace) -> bool:
    """Whether objects are asked for by example or by a class of the training."""
    supports, masks = options.support or [], options.support_mask or []
    if len(supports) != len(masks):
        raise SegtuneError(
            f"{len(supports)} --support and {len(masks)} --support-mask given; every support image "
            "needs a mask, as in --support a.jpg --support-mask a.png"
        )
    if not supports and options.of_class is None:
        return False
    words = (options.vocab, options.prompts, options.negatives, options.task, options.system)
    if any(each is not None for each in words) or options.settings or options.crop is not None:
        what = "--support" if supports else "--of-class"
        raise SegtuneError(
            f"{what} says which objects are meant; leave --vocab, --not, --prompts, --task, "
            "--crop, --system and --set out"
        )
    return True


def _shown(options: Namespace, model: Segmenter, resolution: Resolution) -> Shown | None:
    """Returns what the model was shown; None where it is asked in another way."""
    if options.of_class is not None:
        return model.show_class(options.of_class, resolution=resolution)
    if not options.support:
        return None
    supports = zip(options.support, options.support_mask, strict=True)
    return model.show(*supports, resolution=resolution)


def _masks(options: Namespace, images: Sequence[ImageFile]) -> MaskSource | None:
    """Returns the masks of `--masks`; None without it."""
    if options.masks is None:
        return None
    paths = [image.path for image in images]
    return MaskSource(options.masks, images=paths, skip_bad=options.skip_bad)


def _checked(pointing: Pointing, images: Sequence[ImageFile]) -> tuple[Pointing, list[ImageFile]]:
    """Returns what is pointed at, and the images that have some of it; no model is loaded yet.

    Raises:
        SegtuneError: a point or box is outside of its image, or there is none for any image.
    """
    pointing = replace(pointing, images=tuple(image.path for image in images))
    chosen = []
    for image in images:
        prompts = pointing.at(image)
        if prompts is None:
            continue
        chosen.append(image)
        try:
            size = image_size(image.path)
        except (DataError, OSError):
            continue  # reported where the image is read
        values = pointing.arguments(prompts)
        asked = read_clicks(*values) if pointing.kind == "points" else read_boxes(*values)
        try:
            check_inside(asked, size)
        except SegtuneError as error:
            raise SegtuneError(f"{image.path.name}: {error}") from None
    if not chosen:
        raise SegtuneError(
            f"{pointing.file} has no {pointing.kind} for {images[0].path.name}; its names are "
            f"{', '.join(list(pointing.by_image or {})[:3])}"
        )
    if left_out := len(images) - len(chosen):
        print(f"{left_out} of {len(images)} images left out: no {pointing.kind} in {pointing.file}")
    return pointing, chosen


def _vocabulary(options: Namespace, prompts: Prompts | None, *, needed: bool) -> Vocabulary | None:
    """Returns the words of `--vocab`, else of the prompts, with the negatives of `--not`.

    Args:
        needed: there must be words.
    """
    if options.vocab is not None:
        vocabulary = read_vocabulary(options.vocab)
    elif prompts is not None:
        vocabulary = prompts.vocabulary
    elif needed or options.negatives is not None:
        raise SegtuneError('no words to look for; type --vocab "road, car, tree"')
    else:
        return None
    if options.negatives is None:
        return vocabulary
    words = comma_list(options.negatives, name="negatives").names
    return replace(vocabulary, negatives=tuple(dict.fromkeys((*vocabulary.negatives, *words))))


def _print_classes(job: Job) -> None:
    """Prints the classes found with their mean share of the images, largest first."""
    ranked = sorted(job.shares.items(), key=lambda item: -item[1])
    rows = [(name, percent(share / job.num_done), str(job.counts[name])) for name, share in ranked]
    plural = "s" if job.num_done != 1 else ""
    what = f"{len(ranked)} of {len(job.vocabulary or UNNAMED)} classes"
    if job.pointing or job.masks or job.everything or job.shown:
        what = f"{job.num_masks} mask{'' if job.num_masks == 1 else 's'}"
    title = f"{what} in {job.num_done} image{plural}"
    print_table(("class", "% of pixels", "images"), rows, title=title)


def _print_masks(result: Segmentation) -> None:
    """Prints the name of every mask of one image, and what else it may be."""
    names = result.vocabulary.names
    rows = []
    for number, segment in zip(result.source["masks"], result.segments, strict=True):
        others = (f"{names[i]} {percent(score)}" for i, score in segment.alternatives)
        row = (str(number), names[segment.class_id], percent(segment.score), ", ".join(others))
        rows.append(row)
    title = f"{len(rows)} mask{'' if len(rows) == 1 else 's'}"
    print_table(("mask", "class", "%", "or"), rows[:MASKS_SHOWN], title=title)
    if len(rows) > MASKS_SHOWN:
        print(f"and {len(rows) - MASKS_SHOWN} more")
