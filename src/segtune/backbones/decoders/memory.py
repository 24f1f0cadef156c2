"""What the masked-attention decoder reads of an image: computed once, cached, used many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DecoderMemory:
    """The frozen side of a `MaskedDecoder` for a batch of images, padding included.

    Attributes:
        mask_features: (B, M, h, w), multiplied with mask embeddings.
        sources: per level, coarse to fine, (B, S_l, D): map plus level embedding, flattened.
        sizes: (h_l, w_l) of each level, S_l = h_l * w_l.
        level_features: per level (B, M, h_l, w_l): `mask_features` resized to the level. Resizing
            and the product with mask embeddings commute, so masks for the attention are formed at
            the small sizes. Empty where full masks are resized instead.
        keys, values: per layer (B, heads, S_l, D / heads); empty where each pass projects them.
    """

    mask_features: Tensor
    sources: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]
    level_features: tuple[Tensor, ...] = ()
    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.mask_features)

    def rows(self, index: Tensor | Sequence[int] | slice) -> DecoderMemory:
        """Returns the memory of some images of the batch, in the order of `index`."""
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.mask_features.device)
        return self._mapped(lambda tensor: tensor[index])

    def to(self, target: torch.device | torch.dtype | str) -> DecoderMemory:
        """Returns a copy on another device or in another precision."""
        return self._mapped(lambda tensor: tensor.to(target))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> DecoderMemory:
        def each(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(change(tensor) for tensor in tensors)

        return DecoderMemory(
            change(self.mask_features),
            each(self.sources),
            self.sizes,
            each(self.level_features),
            each(self.keys),
            each(self.values),
        )

    @classmethod
    def stack(cls, memories: Sequence[DecoderMemory]) -> DecoderMemory:
        """Returns the memory of all images of `memories`, which must have equal sizes."""
        every = [memory.tensors() for memory in memories]
        return cls.from_tensors(
            {name: torch.cat([tensors[name] for tensors in every]) for name in every[0]}
        )

    def tensors(self) -> dict[str, Tensor]:
        """Returns the memory as named tensors, batch first, for a feature cache."""
        named = {"mask_features": self.mask_features}
        for level, (source, size) in enumerate(zip(self.sources, self.sizes, strict=True)):
            named[f"level_{level}"] = source.mT.unflatten(2, size)  # (B, D, h, w), a view
        lists = {
            "level_features": self.level_features,
            "keys": self.keys,
            "values": self.values,
        }
        for name, parts in lists.items():
            named |= {f"{name}_{i}": part for i, part in enumerate(parts)}
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> DecoderMemory:
        """Returns the memory that `tensors` was made of; other names in it are left alone."""

        def numbered(name: str) -> tuple[Tensor, ...]:
            found: list[Tensor] = []
            while f"{name}_{len(found)}" in tensors:
                found.append(tensors[f"{name}_{len(found)}"])
            return tuple(found)

        levels = numbered("level")
        return cls(
            tensors["mask_features"],
            tuple(level.flatten(2).mT for level in levels),
            tuple((level.shape[-2], level.shape[-1]) for level in levels),
            numbered("level_features"),
            numbered("keys"),
            numbered("values"),
        )
