"""What every system offers to training, evaluation and the command line.

A system is a frozen model plus a few learned tensors. `encode` computes what lies upstream of the
prompts (never with gradients, so that it can be cached), `predict` turns that and class embeddings
into mask predictions, `loss` compares them with labels. Nothing else of a system is used outside
its folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from segtune.backbones.prompting import Looked, ObjectMasks
from segtune.errors import WeightsError
from segtune.ops.mask_targets import MaskTargets
from segtune.storage.weights.state_dicts import some
from segtune.types import Features, Geometry, MaskPrediction, TemplateSet, Vocabulary


@dataclass(frozen=True)
class Words:
    """The classes of one forward pass, as the frozen text encoder sees them.

    Attributes:
        embeds: (K, k), unit length; (K, 0) for a model that reads no words.
        num_negatives: how many of the last rows are negatives, which compete but are no answer.
        names: of the K classes, negatives included; prompts that are learned per class find their
            rows by it. Empty where nobody asks.
        background: (k,), what "none of them" is for models that compare it with a word.
        vocabulary: what the classes are, for systems that embed names in their own way or treat
            classes tagged "seen" apart; None where nobody asks.
        templates: sentences that the names were put into; None where nobody asks.
    """

    embeds: Tensor
    num_negatives: int = 0
    names: tuple[str, ...] = ()
    background: Tensor | None = None
    vocabulary: Vocabulary | None = None
    templates: TemplateSet | None = None

    def subset(self, ids: Sequence[int]) -> Words:
        """Returns the words of the given class ids, without negatives."""
        names = tuple(self.names[i] for i in ids) if self.names else ()
        vocabulary = self.vocabulary
        if vocabulary is not None:
            vocabulary = replace(vocabulary.subset(tuple(ids)), negatives=())
        return Words(
            self.embeds[list(ids)],
            names=names,
            background=self.background,
            vocabulary=vocabulary,
            templates=self.templates,
        )


@dataclass(frozen=True)
class Targets:
    """Labels of a batch, in the class ids of the `Words` they are compared with.

    Attributes:
        semantic: (B, H, W) int64; `IGNORE` (-1) where unlabelled, `segtune.ops.labels.PSEUDO` (-2)
            where the system may label the pixel itself (self-training).
        masks: per image, the annotated objects, for systems that predict masks.
        pseudo_ids: classes that self-training may give to `PSEUDO` pixels.
    """

    semantic: Tensor
    masks: Sequence[MaskTargets] = ()
    pseudo_ids: tuple[int, ...] = ()


@runtime_checkable
class NamesMasks(Protocol):
    """A system whose learned words also name the masks of clicks and boxes."""

    def class_embeds(self, words: Words) -> Tensor:
        """Returns the class embeddings (K + 1, k), background last."""
        ...


@runtime_checkable
class ReadsLooks(Protocol):
    """A system that begins where `Promptable.look` ended."""

    def features_of(self, looked: Looked) -> Features:
        """Returns what `encode` gives for the image that was looked at."""
        ...


@runtime_checkable
class HasCanvas(Protocol):
    """A system whose model brings whole images to an input of its own, and begins there."""

    def look(self, pixels: np.ndarray, short_side: int) -> Looked:
        """Returns what the model sees of (H, W, 3) uint8 pixels."""
        ...


@runtime_checkable
class NamesLooks(Protocol):
    """A system that names the masks of clicks and boxes by what it saw of the image."""

    def name_logits(self, looked: Looked, mask_logits: Tensor, words: Words) -> Tensor:
        """Returns (P, K + 1) logits of masks (P, h, w) over the model input, background last."""
        ...


@runtime_checkable
class FindsSimilar(Protocol):
    """A system that finds objects such as others, or of the classes of its training.

    Attributes:
        stride, padding, device: as of every `System`.
    """

    @property
    def stride(self) -> int: ...

    @property
    def padding(self) -> tuple[float, float, float]: ...

    @property
    def device(self) -> torch.device: ...

    def examples(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Returns (N, C): what objects look like.

        Args:
            pixels: (1, 3, H, W) float, 0..255 RGB, H and W multiples of the stride.
            masks: (N, H, W) bool, each around one object.
        """
        ...

    def similar(self, pixels: Tensor, examples: Tensor) -> ObjectMasks:
        """Returns masks of objects such as the examples (S, C), best first, with qualities."""
        ...

    def of_class(self, pixels: Tensor, name: str) -> ObjectMasks:
        """Returns masks of the objects of a class of the training; `SegtuneError` for others."""
        ...

    def check_class(self, name: str) -> None:
        """Raises `SegtuneError` for a class that was not in the training."""
        ...


class System(nn.Module, ABC):
    """Base of all systems: a frozen backbone and the module `prompts` with all that is learned.

    Attributes:
        name: registry name.
        config: frozen dataclass of plain values; written into every prompt file.
        backbone: the frozen model; no gradients, always in evaluation mode.
        prompts: every learned parameter, and nothing else.
    """

    name: str
    config: Any
    backbone: nn.Module
    prompts: nn.Module

    @abstractmethod
    def encode(self, pixels: Tensor) -> Features:
        """Returns what the frozen model computes before the first prompt; no gradients.

        Args:
            pixels: (B, 3, H, W) float, 0..255 RGB, H and W multiples of `self.stride`.
        """

    def encode_for_loss(self, pixels: Tensor) -> Features:
        """Returns what `loss` needs of the frozen model, where that is less than `encode` gives."""
        return self.encode(pixels)

    @abstractmethod
    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns one prediction per image of the batch."""

    @abstractmethod
    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns named scalar losses, already weighted; their sum is minimised."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Both sides of an input must be multiples of this many pixels."""

    @property
    def padding(self) -> tuple[float, float, float]:
        """Value of padded pixels, 0..255: near the mean of natural images, so near zero inside."""
        return (118.0, 118.0, 118.0)

    def start(self, words: Words, *, seed: int) -> None:
        """Sets initial values that depend on the words of the fit; by default there are none."""

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Returns optimiser groups over the learned parameters; systems override the rates."""
        return [{"params": list(self.prompts.parameters()), "lr": lr, "weight_decay": weight_decay}]

    def num_learned(self) -> int:
        """Returns how many numbers are learned."""
        return sum(parameter.numel() for parameter in self.prompts.parameters())

    def learned(self) -> dict[str, Tensor]:
        """Returns a copy of everything learned, on the CPU, ready for a prompt file."""
        return {
            key: value.detach().cpu().clone() for key, value in self.prompts.state_dict().items()
        }

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Replaces everything learned.

        Raises:
            WeightsError: keys are missing, extra or of another shape.
        """
        own = self.prompts.state_dict()
        wrong = sorted(set(own) ^ set(tensors)) + sorted(
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
            for key in set(own) & set(tensors)
            if own[key].shape != tensors[key].shape
        )
        if wrong:
            raise WeightsError(f"the prompts do not fit {self.name}: {some(wrong)}")
        self.prompts.load_state_dict(dict(tensors))

    def exact(self) -> System | None:
        """Returns the same system with the same learned numbers but without approximations.

        None where it makes none, which is the default.
        """
        return None

    def encoding(self) -> dict[str, Any]:
        """Returns the plain values that the result of `encode` depends on, besides the model.

        Fits of systems with equal values share the features on disk.
        """
        return {"system": self.name} | self.config_values()

    def config_values(self) -> dict[str, Any]:
        """Returns the config as plain values for a file header."""
        return asdict(self.config)

    def train(self, mode: bool = True) -> System:
        """Switches the prompts only; the backbone stays in evaluation mode."""
        super().train(False)
        self.prompts.train(mode)
        return self

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return next(self.backbone.parameters()).device
