"""What SegPrompt learns besides its Mask2Former, and the cache of what examples looked like.

Zhu et al., ICCV 2023. Tables have a row per class and one more for slots without a class.

Shape letters: B images, G groups of R prompt queries, Q learned queries, E example queries,
V classes and the padding row, C width of the decoder.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from segtune.errors import SegtuneError
from segtune.systems.segprompt.config import SegPromptConfig


class PromptCache(nn.Module):
    """Momentum means of the final states of example queries, by class; no gradients.

    Attributes:
        rows: (V, C), zero until a class was seen.
        is_initialised: (V,) bool, whether a class was ever seen.
        counts: (V,) int64, example queries that a row was made of.

    Example:
        >>> cache = PromptCache(num_classes=2, width=1, momentum=0.5)
        >>> for value in (4.0, 8.0):
        ...     cache.update(torch.tensor([[[value]]]), torch.tensor([[1]]))
        >>> cache.rows.flatten().tolist(), cache.counts.tolist()
        ([0.0, 6.0, 0.0], [0, 2, 0])
    """

    rows: Tensor
    is_initialised: Tensor
    counts: Tensor

    def __init__(self, *, num_classes: int, width: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", torch.zeros(num_classes + 1, width))
        self.register_buffer("is_initialised", torch.zeros(num_classes + 1, dtype=torch.bool))
        self.register_buffer("counts", torch.zeros(num_classes + 1, dtype=torch.int64))

    @torch.no_grad()
    def update(self, states: Tensor, class_ids: Tensor) -> None:
        """Moves the rows of the classes that occur in the global batch; all processes call it.

        Args:
            states: (B, E, C), final states of the example queries, before the last LayerNorm.
            class_ids: (B, E) int64; empty slots have the id of the padding row.
        """
        # One all-reduce of sums and counts together: (V, C + 1).
        table = self.rows.new_zeros(len(self.rows), self.rows.shape[1] + 1)
        flat = states.flatten(0, 1).to(table)
        table.index_add_(0, class_ids.flatten(), torch.cat([flat, flat.new_ones(len(flat), 1)], 1))
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(table)
        sums, counts = table[:, :-1], table[:, -1:]
        means = sums / counts.clamp(min=1)
        occurs = counts[:, 0] > 0
        before = torch.where(self.is_initialised[:, None], self.rows, means)
        moved = self.momentum * before + (1 - self.momentum) * means
        self.rows.copy_(torch.where(occurs[:, None], moved, self.rows))
        self.is_initialised |= occurs
        self.counts += counts[:, 0].long()


class SegPrompts(nn.Module):
    """Class embeddings, the cache, and optional parts; everything besides the Mask2Former.

    Args:
        num_classes: V - 1; the row V - 1 is that of slots without a class.
        width: C.
        text: (V - 1, k) fixed embeddings of the names, for `class_rows="text"`.
        num_labels: K of the own classifier of prompts, where there is one.
    """

    text: Tensor | None

    def __init__(
        self,
        config: SegPromptConfig,
        *,
        num_classes: int,
        width: int,
        text: Tensor | None = None,
        num_labels: int = 1,
    ) -> None:
        super().__init__()
        if (text is not None) != (config.class_rows == "text"):
            raise SegtuneError("embeddings of names go with class_rows=text, and only with it")
        self.config, self.num_classes = config, num_classes
        self.cache = PromptCache(num_classes=num_classes, width=width, momentum=config.momentum)
        self.register_buffer("text", None if text is None else _with_padding(text))
        self.class_content, self.class_position = (
            self._class_table(num_classes, width, text) for _ in range(2)
        )
        self.cache_content, self.cache_position = (
            nn.Linear(width, width) if config.project_cache else None for _ in range(2)
        )
        self.repeat_content, self.repeat_position = (
            nn.Parameter(torch.randn(config.repeat, width)) if config.own_repeats else None
            for _ in range(2)
        )
        self.class_linear = nn.Linear(width, num_labels + 1) if config.own_classifier else None

    def _class_table(self, num_classes: int, width: int, text: Tensor | None) -> nn.Module | None:
        if self.config.class_rows == "learned":
            return nn.Embedding(num_classes + 1, width)
        if text is None:
            return None
        needed = self.config.project_text or text.shape[1] != width
        return nn.Linear(text.shape[1], width) if needed else nn.Identity()

    @property
    def padding_id(self) -> int:
        """Class id of slots without a class."""
        return self.num_classes

    def queries(
        self, class_ids: Tensor, picks: Tensor, content: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns content and position (B, P, C) of prompt queries.

        Args:
            class_ids: (B, P) int64, R equal ones in a row.
            picks: (P,) int64, which learned query, or which own addition, is added to each;
                empty where nothing is.
            content, position: (Q, C) of the learned queries.
        """
        return self.of_rows(self.cache.rows[class_ids], class_ids, picks, content, position)

    def of_rows(
        self,
        rows: Tensor,
        class_ids: Tensor | None,
        picks: Tensor,
        content: Tensor,
        position: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Returns content and position of prompt queries as if `rows` were those of the cache.

        Args:
            rows: (B, P, C).
            class_ids: None adds no class embedding; all else as in `queries`.
        """
        if self.config.detach_queries:
            content, position = content.detach(), position.detach()
        found = []
        for table, project, own, learned in (
            (self.class_content, self.cache_content, self.repeat_content, content),
            (self.class_position, self.cache_position, self.repeat_position, position),
        ):
            x = rows.to(learned)
            if project is not None:
                x = project(x)
            if class_ids is not None and isinstance(table, nn.Embedding):
                x = x + table(class_ids)
            elif class_ids is not None and table is not None:
                assert self.text is not None
                x = x + table(self.text[class_ids])
            if len(picks):
                x = x + (learned if own is None else own)[picks]
            found.append(x)
        return found[0], found[1]

    def picks(self, num_queries: int, generator: torch.Generator) -> Tensor:
        """Returns (P,) int64: R different learned queries for every group, drawn anew.

        Args:
            num_queries: Q.
        """
        groups, repeat = self.config.num_groups, self.config.repeat
        if self.config.own_repeats:
            return torch.arange(repeat).repeat(groups)
        if repeat == 1:
            return torch.zeros(0, dtype=torch.int64)
        if repeat > num_queries:
            raise SegtuneError(
                f"repeat={repeat} needs as many learned queries; {num_queries} given"
            )
        places = torch.rand(groups, num_queries, generator=generator).argsort(1)
        return places[:, :repeat].flatten()


def _with_padding(text: Tensor) -> Tensor:
    return torch.cat([text, text.new_zeros(1, text.shape[1])])
