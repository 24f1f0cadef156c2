"""What the house asks about a kind of frozen model, declared in `backbones/<folder>/spec.py`.

A spec imports no model code; functions are named as `"module:function"` and imported when they are
needed. `segtune.backbones.hub` recognises and loads models by these specs alone, and messages such
as "choose a model that takes points" are derived from them. Other packages add theirs by entry
points of the group `segtune.models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segtune.errors import DataError, WeightsError

Capability = Literal["words", "points", "proposals", "everything"]
"""Reads words; answers points and boxes; proposes masks without names to
those that name them; finds masks of everything for users."""


@dataclass(frozen=True)
class FolderMark:
    """An entry of a JSON file by which a folder is recognised.

    Attributes:
        file: name of the file.
        entry: place of the entry, with dots between nested names; empty: the file is enough.
        values: that it may have; empty: any.
    """

    file: str = "config.json"
    entry: str = "model_type"
    values: tuple[str, ...] = ()

    def fits(self, folder: Path) -> bool:
        """Whether a folder has the file with the entry."""
        if not (folder / self.file).is_file():
            return False
        if not self.entry:
            return True
        from segtune.storage.json_files import plain_json

        content, name = (folder / self.file).read_bytes(), str(folder / self.file)
        try:
            value: Any = plain_json(content, where=name)
        except DataError as error:
            raise WeightsError(f"{name} is damaged: {error}") from None
        for name in self.entry.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value in self.values if self.values else value is not None


@dataclass(frozen=True)
class ModelSpec:
    """One kind of frozen model.

    Attributes:
        kind: `FrozenModel.kind`, and the name in `segtune.backbones.MODELS`.
        titles: what people call it; several names where one loader reads several models.
        can: what it can do, whatever the weights; a single model may refuse.
        folder_marks: a folder with any of them is of this kind.
        state_marks: of a state dict: every one is the beginning of some name; of a tuple, any.
            Where several kinds fit, the one with the most marks is taken.
        load_folder: "module:function" from (path, tokenizer=...) to the model; empty: models of
            this kind are no use alone.
        load_state: "module:function" from (state, name=..., tokenizer=...) to the model.
        load_pair: "module:function" from (PROPOSALS, CLIP, tokenizer=...) to the model that a user
            names with a plus between them.
        load_proposals: "module:function" from (path, title=...) to a `ProposalModel`.
        random: "module:function" from (seed=..., tokenizer=...) to a tiny model with random
            weights, for tests.
    """

    kind: str
    titles: tuple[str, ...]
    can: tuple[Capability, ...]
    folder_marks: tuple[FolderMark, ...] = ()
    state_marks: tuple[str | tuple[str, ...], ...] = ()
    load_folder: str = ""
    load_state: str = ""
    load_pair: str = ""
    load_proposals: str = ""
    random: str = ""

    @property
    def name(self) -> str:
        """The kind, which is the name in the registry."""
        return self.kind

    @property
    def model_types(self) -> tuple[str, ...]:
        """The values of `model_type` in its config.json."""
        own = FolderMark()
        marks = (m for m in self.folder_marks if (m.file, m.entry) == (own.file, own.entry))
        return tuple(value for mark in marks for value in mark.values)

    def fits_folder(self, folder: Path) -> bool:
        """Whether a folder holds a model of this kind."""
        return any(mark.fits(folder) for mark in self.folder_marks)

    def fits_state(self, names: Iterable[str]) -> bool:
        """Whether tensors of these names are a model of this kind."""
        names = list(names)
        return all(any(name.startswith(mark) for name in names) for mark in self.state_marks)
