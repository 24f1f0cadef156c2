"""The nouns that every room speaks: samples, vocabularies, predictions and results.

`Prompts`, the file of everything learned, is in `segtune.prompts`; reading vocabularies from text
and files is in `segtune.vocabulary`. Nothing here imports torch: tensors appear only as types.

Shape letters: B images, N instances, K classes, Q queries, H W image pixels, h w feature grid.
Label maps are int32 with `IGNORE` for pixels that have no label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from segtune.errors import SegtuneError
from segtune.storage.registry import resolve

if TYPE_CHECKING:
    import torch

IGNORE = -1
"""Value of unlabelled pixels in every label map inside segtune (files use 255 or 65535)."""

Kind = Literal["thing", "stuff"]
Task = Literal["semantic", "instance", "panoptic"]


@dataclass(frozen=True)
class Concept:
    """One entry of a vocabulary: what a user calls a class, and what is known about it.

    Attributes:
        name: the name shown to the user and, unless there are synonyms, given to the text encoder.
        synonyms: further names; the text embedding is the mean over name and synonyms.
        kind: countable "thing" or amorphous "stuff".
        group: protocol tag such as "seen", "unseen" or "known"; None where there is none.
        color: (r, g, b) 0..255 for pictures; None picks one from the palette.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    kind: Kind = "thing"
    group: str | None = None
    color: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SegtuneError("a class name is empty; every entry of a vocabulary needs a name")

    @property
    def names(self) -> tuple[str, ...]:
        """The name followed by its synonyms."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Vocabulary:
    """An ordered set of concepts; a class id is an index into it.

    Attributes:
        concepts: at least one, with distinct names.
        negatives: words that compete with the concepts but are not part of the answer; a pixel
            won by a negative becomes `IGNORE`.
        name: what tables call it.

    Example:
        >>> vocabulary = Vocabulary.of("road", "car", "tree")
        >>> vocabulary.names, len(vocabulary), vocabulary.index("car")
        (('road', 'car', 'tree'), 3, 1)
    """

    concepts: tuple[Concept, ...]
    negatives: tuple[str, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.concepts:
            raise SegtuneError(
                'the vocabulary is empty; give at least one word, for example --vocab "road, car"'
            )
        names = [concept.name.strip().lower() for concept in self.concepts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SegtuneError(
                f"the vocabulary names {', '.join(map(repr, twice))} more than once; "
                "remove the repeated words"
            )
        if both := sorted({n.strip().lower() for n in self.negatives} & set(names)):
            raise SegtuneError(
                f"{', '.join(map(repr, both))} is both a class and a negative; drop one of the two"
            )

    @classmethod
    def of(cls, *names: str, negatives: tuple[str, ...] = (), name: str = "custom") -> Vocabulary:
        """Returns a vocabulary of plain names."""
        return cls(tuple(Concept(word.strip()) for word in names), negatives, name)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in order."""
        return tuple(concept.name for concept in self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def index(self, name: str) -> int:
        """Returns the class id of `name`; raises `SegtuneError` where it is not part of it."""
        if name not in self.names:
            raise SegtuneError(f"{name!r} is not in the vocabulary {self.name!r}")
        return self.names.index(name)

    def ids_in(self, group: str) -> tuple[int, ...]:
        """Returns the class ids whose concept carries the tag `group`."""
        return tuple(i for i, concept in enumerate(self.concepts) if concept.group == group)

    def subset(self, ids: tuple[int, ...] | list[int], *, name: str | None = None) -> Vocabulary:
        """Returns the vocabulary of the given class ids, in the given order."""
        concepts = tuple(self.concepts[i] for i in ids)
        return replace(self, concepts=concepts, name=name or self.name)


@dataclass(frozen=True)
class TemplateSet:
    """Sentences into which a class name is put before it is encoded; `{}` marks the place.

    One embedding per class: every sentence is encoded and normalised, the mean is normalised again.
    """

    name: str
    sentences: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.sentences:
            raise SegtuneError(f"template set {self.name!r} is empty; give at least '{{}}'")
        for sentence in self.sentences:
            if sentence.count("{}") != 1:
                raise SegtuneError(f"template {sentence!r} must contain {{}} exactly once")

    def fill(self, name: str) -> tuple[str, ...]:
        """Returns the sentences with `name` in place, and "a" or "an" to fit it for `{article}`."""
        article = "an" if name[:1].lower() in tuple("aeiou") else "a"
        sentences = (sentence.replace("{article}", article) for sentence in self.sentences)
        return tuple(sentence.replace("{}", name) for sentence in sentences)


@dataclass(frozen=True)
class Instance:
    """One annotated object or region.

    Attributes:
        class_id: index into the vocabulary of the dataset, or `IGNORE` for an unnamed object.
        mask: (H, W) bool, the visible part.
        is_crowd: COCO's crowd flag: a region of many objects.
    """

    class_id: int
    mask: np.ndarray
    is_crowd: bool = False

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        """xyxy of the mask in pixels, right and bottom exclusive; zeros where the mask is empty."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if not len(ys):
            return (0, 0, 0, 0)
        return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)


@dataclass(frozen=True)
class Sample:
    """One image with whatever is known about it.

    Attributes:
        id: name of the sample inside its dataset, unique, usable as a file stem.
        image: path, or (H, W, 3) uint8 RGB.
        semantic: (H, W) int32 class ids of the dataset's vocabulary, `IGNORE` where unlabelled.
        instances: annotated objects (and, in panoptic data, stuff regions).
        captions: sentences about the image.
        points: (N, 2) float32 (x, y) in pixels, one click per instance, where the source has them.
    """

    id: str
    image: Path | np.ndarray
    semantic: np.ndarray | None = None
    instances: tuple[Instance, ...] = ()
    captions: tuple[str, ...] = ()
    points: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        """Returns the image as (H, W, 3) uint8 RGB, upright, reading the file where needed."""
        if isinstance(self.image, np.ndarray):
            return self.image
        from segtune.storage.images import read_image

        return read_image(self.image)


@runtime_checkable
class Dataset(Protocol):
    """A finite, indexable, deterministic collection of samples over one vocabulary."""

    name: str
    split: str
    vocabulary: Vocabulary

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        ...


@dataclass(frozen=True)
class Resolution:
    """At which size a model looks at images, in pixels.

    Attributes:
        short_side: images are resized so that their shorter side is this long.
        crop: side of the sliding window; None looks at the whole image at once.
        stride: step of the window.
    """

    short_side: int
    crop: int | None
    stride: int

    def __post_init__(self) -> None:
        if min(self.short_side, self.crop or 1, self.stride) < 1:
            raise SegtuneError(f"{self}: every length must be at least one pixel")

    @classmethod
    def of(
        cls, short_side: int, *, crop: int | None = None, stride: int | None = None
    ) -> Resolution:
        """Returns one whose window defaults to `short_side` and its step to 5/6 of the window."""
        crop = crop or short_side
        return cls(short_side, crop, stride or max(crop * 5 // 6, 1))


@dataclass(frozen=True)
class Geometry:
    """How an image was brought to the size the model saw, so that masks find their way back.

    The image was resized to `resized_size` and padded at the right and bottom to `input_size`.
    """

    original_size: tuple[int, int]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]


@dataclass(frozen=True)
class Features:
    """What a frozen model computed for a batch of images; opaque outside the system that made it.

    Attributes:
        tensors: named tensors, batch first.
        grid: (h, w) of the feature grid.
        key: fingerprint of the model and its preprocessing, for caches.
    """

    tensors: Mapping[str, torch.Tensor]
    grid: tuple[int, int]
    key: str = ""


@dataclass(frozen=True)
class MaskPrediction:
    """Class and mask scores of one image, before they are resized and made into a decision.

    Dense models give `pixel_logits`; mask-based ones give `mask_logits` with either `class_logits`
    or, where the scores are probabilities already (two-stage models fuse two of them),
    `class_scores`.

    Attributes:
        geometry: the way back to the pixels of the original image.
        pixel_logits: (K, h, w), unbounded, over the model input, padding included.
        mask_logits: (Q, h, w), unbounded, same frame.
        class_logits: (Q, K + 1), unbounded; the last column is "no object".
        class_scores: (Q, K), 0..1, used as they are; rows need not sum to one.
        class_shift: (K,), taken off the class maps of masks at the original image before they are
            compared (ZegFormer's calibration); None takes nothing off.
        pixel_scores: how dense logits become probabilities, "sigmoid" or "softmax" over K.
        answers: (Q, K) bool, the classes that each query may answer with; the probability of the
            others counts as "no object". None where all may.
        mask_threshold: 0..1; where masks are summed at the resized image, they are first cut to 0
            and 1 at this probability. None sums the probabilities.
        mask_resize: how mask logits get from the model input to the original image; "bicubic" is
            antialiased.
        sum_at: where masks become class maps: "original" resizes mask logits and sums there;
            "resized" sums at the resized image and resizes the sums, as MaskFormer's line does.
    """

    geometry: Geometry
    pixel_logits: torch.Tensor | None = None
    mask_logits: torch.Tensor | None = None
    class_logits: torch.Tensor | None = None
    class_scores: torch.Tensor | None = None
    class_shift: torch.Tensor | None = None
    pixel_scores: Literal["sigmoid", "softmax"] = "softmax"
    answers: torch.Tensor | None = None
    mask_threshold: float | None = None
    mask_resize: Literal["bilinear", "bicubic"] = "bilinear"
    sum_at: Literal["original", "resized"] = "original"

    def __post_init__(self) -> None:
        dense, masks = self.pixel_logits is not None, self.mask_logits is not None
        given = sum(scores is not None for scores in (self.class_logits, self.class_scores))
        if dense == masks or given != int(masks):
            raise ValueError(
                "give either pixel_logits, or mask_logits together with one of class_logits and "
                "class_scores"
            )


@dataclass(frozen=True)
class Segment:
    """One scored region of a result.

    Attributes:
        class_id: index into the vocabulary of the result.
        score: 0..1.
        box_px: xyxy in pixels of the original image, right and bottom exclusive.
        mask: (y2 - y1, x2 - x1) bool, the crop of the region inside its box.
        alternatives: the next likely classes with their scores, best first, where somebody asked.
    """

    class_id: int
    score: float
    box_px: tuple[int, int, int, int]
    mask: np.ndarray
    alternatives: tuple[tuple[int, float], ...] = ()

    def full_mask(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the (H, W) bool mask on an image of `size`."""
        mask = np.zeros(size, dtype=bool)
        x1, y1, x2, y2 = self.box_px
        mask[y1:y2, x1:x2] = self.mask
        return mask


@dataclass(frozen=True)
class Segmentation:
    """The answer for one image, with where it came from.

    Attributes:
        size: (H, W) of the original image.
        vocabulary: what class ids mean.
        semantic: (H, W) int32 class ids, `IGNORE` where no class won; None for instance results.
        segments: scored regions; empty for a plain semantic result.
        source: model, prompt file, protocol and settings, as plain values for file headers.
    """

    size: tuple[int, int]
    vocabulary: Vocabulary
    semantic: np.ndarray | None = None
    segments: tuple[Segment, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def classes_found(self) -> dict[str, float]:
        """Returns class name -> share of the image, largest first, for the classes that occur."""
        if self.semantic is None:
            pixels: dict[int, int] = {}
            for segment in self.segments:
                count = pixels.get(segment.class_id, 0) + int(segment.mask.sum())
                pixels[segment.class_id] = count
        else:
            ids, counts = np.unique(self.semantic[self.semantic != IGNORE], return_counts=True)
            pixels = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        area = self.size[0] * self.size[1]
        ranked = sorted(pixels.items(), key=lambda item: -item[1])
        return {self.vocabulary.names[i]: count / area for i, count in ranked}

    def save(
        self, path: Path | str, *, format: str | None = None, image: np.ndarray | None = None
    ) -> Path:
        """Writes the result and returns the path.

        Args:
            path: `.png` is an index map, `.json` COCO annotations.
            format: another one of `segtune.export.sinks.SINKS`, such as "overlay" or "panoptic".
            image: (H, W, 3) uint8 RGB, which an overlay is drawn over.
        """
        return resolve("segtune.export.save:save")(self, Path(path), format=format, image=image)

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections` of the segments, or of the classes of a label map."""
        return resolve("segtune.export.supervision:to_supervision")(self)
