"""At which size a model looks at images, and the way back to the pixels of the original image."""

from __future__ import annotations

from dataclasses import dataclass

from segtune.errors import SegtuneError


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
