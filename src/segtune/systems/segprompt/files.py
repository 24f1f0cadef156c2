"""The prompts of a trained SegPrompt, in a file beside the plain model that answers.

Tensors have the official names; flags and counts of the cache stand beside them, and the names of
the classes in the header. Training reads none of it again; asking by prompts does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.errors import WeightsError, unknown_name
from segtune.storage.files import atomic_write
from segtune.storage.weights import read_safetensors
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.official import FLAGS, prompts_from_official, prompts_to_official
from segtune.systems.segprompt.prompts import SegPrompts

PROMPTS = "prompts.safetensors"
"""Name of the file in the folder of a model."""


@dataclass(frozen=True)
class LearnedPrompts:
    """What was learned beside a model.

    Attributes:
        prompts: cache and class embeddings.
        classes: names of their rows, the last of which is that of no class.
    """

    prompts: SegPrompts
    classes: tuple[str, ...]

    def known(self) -> tuple[str, ...]:
        """Returns the classes that the cache has seen an example of."""
        is_there = self.prompts.cache.is_initialised.tolist()
        return tuple(name for name, yes in zip(self.classes, is_there, strict=False) if yes)

    def row(self, name: str) -> int:
        """Returns the row of a class that the cache has seen.

        Raises:
            SegtuneError: it has not.
        """
        if name not in self.known():
            raise unknown_name(name, self.known(), what="class that the model has a prompt for")
        return self.classes.index(name)


def save_prompts(prompts: SegPrompts, classes: Sequence[str], folder: Path) -> Path:
    """Writes prompts and the names of their rows beside a model; returns the file."""
    from safetensors.torch import save_file

    cache = prompts.cache
    flags = dict(zip(FLAGS, (cache.is_initialised, cache.counts), strict=True))
    state = {**prompts_to_official(prompts), **flags}
    header = {"classes": json.dumps(list(classes)), "repeat": str(prompts.config.repeat)}
    with atomic_write(folder / PROMPTS) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in state.items()}, temporary, metadata=header)
    return folder / PROMPTS


def load_prompts(folder: Path) -> LearnedPrompts | None:
    """Returns the prompts beside a model; None where there are none.

    Raises:
        WeightsError: the file is damaged, or of another kind.
    """
    file = folder / PROMPTS
    if not file.is_file():
        return None
    state, header = read_safetensors(file)
    try:
        classes, repeat = json.loads(header["classes"]), int(header["repeat"])
        flags = [state.pop(name) for name in FLAGS]
    except (KeyError, ValueError):
        raise WeightsError(
            f"{file} does not name its classes; train or export the model again"
        ) from None
    prompts = prompts_from_official(state, SegPromptConfig(num_prompts=repeat, repeat=repeat))
    for own, flag in zip((prompts.cache.is_initialised, prompts.cache.counts), flags, strict=True):
        own.copy_(flag)
    return LearnedPrompts(prompts.requires_grad_(False).eval(), tuple(classes))
