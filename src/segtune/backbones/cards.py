"""Cards of the models that segtune can name: bundled small ones and public ones.

A card says where the weights are, under which licence, and what input and score to expect. Reading
cards imports no model code; building a model from one is the business of `backbones/`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from segtune.errors import SegtuneError, WeightsError
from segtune.ops.normalisation import CLIP, IMAGENET, Normalisation

ZOO = Path(__file__).parent.parent / "zoo"


@dataclass(frozen=True)
class Card:
    """What is known about one set of weights.

    Attributes:
        name: the short name that users type.
        kind: architecture family, e.g. "clip-vit".
        source: who made it, and how to make or find it again.
        licence: SPDX name.
        input_size: (height, width) in pixels that it was trained at.
        normalisation: of the pixels that the model sees.
        expected: protocol -> published or measured score, in percent.
        hub_id: Hugging Face repository; None for a bundled model.
        folder: name inside `segtune/zoo`; None for a public model.
        weights_file: file that holds the weights, or names the models of a pair.
        sha256: of the weights file; None where the hub's own revision check is relied on.
        dense_size: shorter side in pixels for dense prediction; None takes the input size.
    """

    name: str
    kind: str
    source: str
    licence: str
    input_size: tuple[int, int]
    normalisation: Normalisation
    expected: tuple[tuple[str, float], ...] = ()
    hub_id: str | None = None
    folder: str | None = None
    weights_file: str = "model.safetensors"
    sha256: str | None = None
    dense_size: int | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether the weights come with segtune."""
        return self.folder is not None

    def path(self) -> Path:
        """Returns the folder of a bundled model.

        Raises:
            SegtuneError: the model is public and has to be downloaded.
            WeightsError: the files are missing from this installation.
        """
        if self.folder is None:
            raise SegtuneError(
                f"{self.name} is not bundled; download it with `hf download {self.hub_id}` and "
                "pass the local folder, or choose one of: " + ", ".join(names(bundled=True))
            )
        folder = ZOO / self.folder
        if not (folder / self.weights_file).is_file():
            raise WeightsError(
                f"{self.folder}/{self.weights_file} is missing from this installation; "
                f"reinstall segtune or rebuild it: {self.source}"
            )
        return folder

    def verify(self) -> None:
        """Raises `WeightsError` where the bundled weights differ from the card's checksum."""
        file = self.path() / self.weights_file
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if self.sha256 is not None and found != self.sha256:
            raise WeightsError(
                f"{file.name} of {self.name} has sha256 {found[:12]}..., expected "
                f"{self.sha256[:12]}...; reinstall segtune"
            )


BUNDLED = (
    Card(
        name="clip-vit-tiny",
        kind="clip-vit",
        source="recipes/zoo/clip_vit.yaml, synthetic:base only",
        licence="Apache-2.0",
        input_size=(64, 64),
        normalisation=CLIP,
        expected=(
            ("synthetic:base crops, seen compositions, top-1 of 378", 88.3),
            ("synthetic:base crops, unseen compositions, top-1 of 378", 75.6),
            ("synthetic:base val 192 px, value path, mIoU over all 390 words", 21.2),
        ),
        folder="clip-vit-tiny",
        sha256="1900567b5133a36cbffef2a67655866263b0496463115a0f60c48f6cc402e8d3",
        dense_size=128,
    ),
    Card(
        name="seem-tiny",
        kind="seem",
        source="recipes/zoo/seem.yaml, synthetic:base only",
        licence="Apache-2.0",
        input_size=(160, 160),
        normalisation=IMAGENET,
        expected=(
            ("synthetic:base test 224 px, mIoU over all 390 words", 42.6),
            ("synthetic:base test 224 px, 1-click IoU", 82.0),
            ("synthetic:base test 224 px, 1-box IoU", 82.4),
        ),
        dense_size=224,
        folder="seem-tiny",
        sha256="dde03aa377fe58b8db82f0db0e71c0bc876105a545164fab0f785757b8208791",
    ),
    Card(
        name="maskformer-tiny",
        kind="maskformer",
        source="recipes/zoo/maskformer.yaml, then maskformer-fine.yaml, synthetic:base only",
        licence="Apache-2.0",
        input_size=(192, 192),
        normalisation=IMAGENET,
        expected=(
            ("synthetic:base test 256 px, 100 scenes, regions with a mask of IoU >= 0.5", 93.4),
            ("synthetic:base test 256 px, 100 scenes, mean best IoU of a region", 86.3),
            ("synthetic:base test 256 px, 100 scenes, mIoU over all 390 words", 9.8),
        ),
        dense_size=256,
        folder="maskformer-tiny",
        sha256="6614453bb86549004723bfce8929b8f692ad79749e807021dbf2ffb4e428b125",
    ),
    Card(
        name="mask2former-tiny",
        kind="mask2former",
        source="recipes/zoo/mask2former.yaml, synthetic:longtail only",
        licence="Apache-2.0",
        input_size=(128, 128),
        normalisation=IMAGENET,
        expected=(
            ("synthetic:longtail test 128 px, AR@100 of regions without names", 52.2),
            ("synthetic:longtail test 128 px, the same of unseen classes", 52.9),
        ),
        dense_size=128,
        folder="mask2former-tiny",
        sha256="d5ae242f0e149d3775d6669da7e7bd8bc7c2e806fae7cb9eceb715ee8882f0f0",
    ),
    Card(
        name="segprompt-tiny",
        kind="mask2former",
        source="recipes/zoo/segprompt.yaml, synthetic:longtail only",
        licence="Apache-2.0",
        input_size=(128, 128),
        normalisation=IMAGENET,
        expected=(
            ("synthetic:longtail test 128 px, AR@100 of regions without names", 58.9),
            ("synthetic:longtail test 128 px, the same of unseen classes", 57.8),
            ("synthetic:longtail test 128 px, unseen, one example, first answer right", 62.5),
        ),
        dense_size=128,
        folder="segprompt-tiny",
        sha256="a9d47cf80e9cc1694c0a3b9ddf1cb8c633f0eea5fd9db5f3e0262323e7dbb26f",
    ),
    Card(
        name="ovseg-tiny",
        kind="two-stage",
        source="maskformer-tiny, clip-vit-tiny; settings chosen on synthetic:base val",
        licence="Apache-2.0",
        input_size=(256, 256),
        normalisation=IMAGENET,
        expected=(("synthetic:base val 256 px, 40 scenes, mIoU over all 390 words", 31.5),),
        dense_size=256,
        folder="ovseg-tiny",
        weights_file="config.json",
        sha256="33512c7b2714ce3da442e958ed96e8e846102835eb626bb77d74fd40946a37da",
    ),
)


def _public(
    hub_id: str, licence: str, side: int, imagenet: float, *, kind: str = "clip-vit"
) -> Card:
    """A public CLIP; the score is its published zero-shot ImageNet top-1."""
    return Card(
        name=hub_id.rpartition("/")[2].lower(),
        kind=kind,
        source=f"https://huggingface.co/{hub_id}",
        licence=licence,
        input_size=(side, side),
        normalisation=CLIP,
        expected=(("ImageNet zero-shot top-1, published", imagenet),),
        hub_id=hub_id,
    )


PUBLIC = (
    _public("openai/clip-vit-base-patch32", "MIT", 224, 63.2),
    _public("openai/clip-vit-base-patch16", "MIT", 224, 68.6),
    _public("openai/clip-vit-large-patch14", "MIT", 224, 75.3),
    _public("openai/clip-vit-large-patch14-336", "MIT", 336, 76.2),
    _public("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "MIT", 224, 70.2),
    _public("laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "MIT", 224, 75.3),
    _public("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "MIT", 224, 78.0),
    _public(
        "laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup",
        "MIT",
        320,
        76.9,
        kind="clip-convnext",
    ),
)

CARDS: dict[str, Card] = {card.name: card for card in (*BUNDLED, *PUBLIC)}


def names(*, bundled: bool | None = None) -> tuple[str, ...]:
    """Returns the known names, bundled ones first; only those (not) bundled where asked for."""
    return tuple(
        name for name, entry in CARDS.items() if bundled is None or entry.is_bundled == bundled
    )


def card(name: str) -> Card:
    """Returns the card called `name`, which may also be a Hugging Face id.

    Example:
        >>> card("openai/clip-vit-base-patch16").input_size
        (224, 224)
    """
    key = name.rpartition("/")[2].lower()
    if key not in CARDS:
        raise SegtuneError(f"there is no model {name!r}; choose one of: {', '.join(CARDS)}")
    return CARDS[key]
