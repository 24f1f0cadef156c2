"""The prompt file: everything learned, and what is needed to use it, in one safetensors file.

The header (metadata key "segtune") is JSON: system and its options, the frozen model with its
fingerprint, the vocabulary and templates of the fit, shots, seed, resolution, metrics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from segtune.errors import DataError, WeightsError
from segtune.storage.files import atomic_write
from segtune.storage.json_files import decode_json
from segtune.types import Concept, Resolution, TemplateSet, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
HEADER = "segtune"
LARGEST = 1_000_000
"""Number in the options of a system; they are sizes, depths and rates."""

Word = Annotated[str, Meta(max_length=1000)]
Pixels = Annotated[int, Meta(ge=1, le=65536)]
Byte = Annotated[int, Meta(ge=0, le=255)]


class ConceptEntry(msgspec.Struct, gc=False):
    """A class of the vocabulary, as it is in a header."""

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    synonyms: Annotated[tuple[Word, ...], Meta(max_length=1000)]
    kind: Literal["thing", "stuff"]
    group: Word | None
    color: tuple[Byte, Byte, Byte] | None


class VocabularyEntry(msgspec.Struct):
    """The vocabulary in a header."""

    concepts: Annotated[list[ConceptEntry], Meta(min_length=1, max_length=100_000)]
    negatives: Annotated[tuple[Word, ...], Meta(max_length=100_000)]
    name: Word


class TemplatesEntry(msgspec.Struct):
    """The sentences in a header."""

    name: Word
    sentences: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=1000)]


class ResolutionEntry(msgspec.Struct):
    """The resolution in a header."""

    short_side: Pixels
    crop: Pixels | None
    stride: Pixels


class Version(msgspec.Struct):
    """What headers of every version have."""

    format_version: Annotated[int, Meta(ge=1)]


class Header(msgspec.Struct):
    """What a prompt file says about itself: data from strangers, typed and bounded."""

    system: Word
    options: Annotated[dict[Word, Any], Meta(max_length=200)]
    model: Word
    fingerprint: Word
    vocabulary: VocabularyEntry
    templates: TemplatesEntry
    resolution: ResolutionEntry
    training: Annotated[dict[Word, Any], Meta(max_length=200)] = {}
    metrics: Annotated[dict[Word, Any], Meta(max_length=200)] = {}


@dataclass(frozen=True)
class Prompts:
    """What a fit learned, self-describing.

    Attributes:
        system: registry name of the system.
        options: the system's whole configuration, as plain values.
        model: name of the frozen model.
        fingerprint: of its weights; another model is refused.
        tensors: the learned parameters by name.
        vocabulary: the classes of the fit.
        templates: the sentences around their names.
        resolution: at which the prompts were learned and are used.
        training: shots, seed, data, steps and the like; plain values.
        metrics: scores measured after the fit; plain values.
    """

    system: str
    options: Mapping[str, Any]
    model: str
    fingerprint: str
    tensors: Mapping[str, Tensor]
    vocabulary: Vocabulary
    templates: TemplateSet
    resolution: Resolution
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> Path:
        """Writes the file whole or not at all and returns its path."""
        from safetensors.torch import save

        header = {
            "format_version": FORMAT_VERSION,
            "system": self.system,
            "options": dict(self.options),
            "model": self.model,
            "fingerprint": self.fingerprint,
            "vocabulary": asdict(self.vocabulary),
            "templates": asdict(self.templates),
            "resolution": asdict(self.resolution),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
        }
        with atomic_write(path) as temporary:
            content = save(
                {key: value.contiguous() for key, value in self.tensors.items()},
                metadata={HEADER: json.dumps(header, ensure_ascii=False)},
            )
            temporary.write_bytes(content)  # an OSError on a full disk, unlike save_file
        return Path(path)

    @classmethod
    def load(cls, path: Path | str) -> Prompts:
        """Reads a prompt file.

        Raises:
            FileNotFoundError: there is none.
            WeightsError: it is damaged, has NaN or infinity in it, is no prompt file, or from a
                newer segtune.
        """
        from segtune.storage.weights import read_safetensors

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"no prompt file at {path}; `segtune fit DATA --out {path}` makes one"
            )
        try:
            tensors, metadata = read_safetensors(path)
        except (WeightsError, OSError) as error:
            raise WeightsError(f"{error}; fit again or copy it anew") from None
        if HEADER not in metadata:
            raise WeightsError(
                f"{path} is a safetensors file but not a prompt file; `segtune fit` writes those"
            )
        header = _header_of(metadata[HEADER], path)
        _check_tensors(tensors, path)
        return cls(
            system=header.system,
            options=header.options,
            model=header.model,
            fingerprint=header.fingerprint,
            tensors=tensors,
            vocabulary=_vocabulary_from(header.vocabulary),
            templates=TemplateSet(header.templates.name, header.templates.sentences),
            resolution=Resolution(**msgspec.structs.asdict(header.resolution)),
            training=header.training,
            metrics=header.metrics,
        )

    def check_model(self, name: str, fingerprint: str) -> None:
        """Raises `WeightsError` where the prompts were learned on other weights."""
        if fingerprint != self.fingerprint:
            raise WeightsError(
                f"these prompts were learned on {self.model} ({self.fingerprint}) but the model is "
                f"{name} ({fingerprint}); type --model {self.model} or fit prompts for {name}"
            )

    def num_learned(self) -> int:
        """Returns how many numbers are stored."""
        return sum(value.numel() for value in self.tensors.values())

    def digest(self) -> str:
        """Returns 32 hex digits of all that a system is built from: its options and numbers."""
        import torch

        plain = json.dumps([self.system, dict(self.options)], sort_keys=True)
        digest = hashlib.blake2b(plain.encode(), digest_size=16)
        for key, value in sorted(self.tensors.items()):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def read_prompts(source: Prompts | Path | str | None) -> Prompts | None:
    """Returns prompts as they are, those of a file, or None."""
    return Prompts.load(source) if isinstance(source, str | Path) else source


def _header_of(text: str, path: Path) -> Header:
    """Returns the header of a prompt file; raises `WeightsError` where it is none."""
    try:
        content = text.encode("utf-8", "surrogatepass")
        version = decode_json(content, Version, where="it").format_version
        if version > FORMAT_VERSION:
            raise DataError(f"it has format {version}, not {FORMAT_VERSION}")
        header = decode_json(content, Header, where="it")
        _check_options(header.options)
    except DataError as error:
        raise WeightsError(
            f"{path} has a header that this segtune cannot read ({error}); update segtune or "
            "copy the file anew"
        ) from None
    return header


def _check_options(value: Any, *, depth: int = 0) -> None:
    """Raises `DataError` where options could name files or make tensors without end."""
    if depth > 8:
        raise DataError("its options are nested too deeply")
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        if len(value) > 200_000:
            raise DataError("its options have too many values")
        for item in value:
            _check_options(item, depth=depth + 1)
    elif isinstance(value, str) and len(value) > 1000:
        raise DataError("its options have a text of more than 1000 letters")
    elif isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise DataError("its options have a number out of range")


def _check_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises `WeightsError` where a number is not finite, which would rule every answer."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(
                f"{path} is damaged: {name[:60]!a} holds NaN or infinity; fit again or copy it anew"
            )


def _vocabulary_from(entry: VocabularyEntry) -> Vocabulary:
    concepts = tuple(
        Concept(each.name, each.synonyms, each.kind, each.group, each.color)
        for each in entry.concepts
    )
    return Vocabulary(concepts, entry.negatives, entry.name)
