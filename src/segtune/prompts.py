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
from typing import TYPE_CHECKING, Any

from segtune.errors import WeightsError
from segtune.storage.files import atomic_write
from segtune.types import Concept, Resolution, TemplateSet, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
HEADER = "segtune"


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
        from segtune.storage.weights.state_dicts import check_finite

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
        check_finite(tensors, path)
        try:
            header = json.loads(metadata[HEADER])
            version = header.pop("format_version")
            if version > FORMAT_VERSION:
                raise WeightsError(f"it has format {version}, not {FORMAT_VERSION}")
            vocabulary = header.pop("vocabulary")
            templates = header.pop("templates")
            resolution = header.pop("resolution")
            return cls(
                tensors=tensors,
                vocabulary=_vocabulary_from(vocabulary),
                templates=TemplateSet(templates["name"], tuple(templates["sentences"])),
                resolution=Resolution(**resolution),
                **header,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path} has a header that this segtune cannot read ({error}); update segtune or "
                "copy the file anew"
            ) from None

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


def _vocabulary_from(values: Mapping[str, Any]) -> Vocabulary:
    concepts = tuple(
        Concept(
            name=entry["name"],
            synonyms=tuple(entry["synonyms"]),
            kind=entry["kind"],
            group=entry["group"],
            color=tuple(entry["color"]) if entry["color"] else None,
        )
        for entry in values["concepts"]
    )
    return Vocabulary(concepts, tuple(values["negatives"]), values["name"])
