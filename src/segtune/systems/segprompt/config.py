"""Every switch of SegPrompt; the defaults are those of its published LVIS-OW training.

The name of a switch in the released configuration stands behind each field. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segtune.errors import SegtuneError


@dataclass(frozen=True)
class SegPromptConfig:
    """How a class-agnostic Mask2Former is taught by prompts.

    Q learned queries stand in the model; P prompt queries are P / R groups of R, one class each; E
    example queries look inside annotated masks.
    """

    # Queries.
    num_prompts: int = 300  # P (NUM_OPEN_QUERIES)
    repeat: int = 10  # R, queries per class (QUERY_REPEAT)
    num_examples: int = 5  # E (MAX_EXAMPLE_NUM)
    momentum: float = 0.9  # share of a cache row that stays (EXAMPLE_QUERY_SIGMA)
    class_rows: Literal["learned", "text", "none"] = "learned"  # USE_VOC_EMB, USE_CLIP_TEXTEMB
    project_text: bool = False  # also where widths agree (ENFORCE_CLIP_PROJ)
    project_cache: bool = False  # linear maps of cache rows (EXAMPLE_QUERY_PROJ)
    own_repeats: bool = False  # R learned additions in place of learned queries (ADDTIONAL_QUERY)
    detach_queries: bool = False  # prompts do not move learned queries (OPEN_BRANCH_DETACHED)

    # Who sees whom.
    group_masks: bool = True  # prompts see their own class only (OPEN_ATT_MASK)
    independent: bool = False  # prompts do not see learned queries (SELF_ATT_INDEPENDENT)
    all_see_all: bool = False  # learned queries see the others: no plain model (NO_ATT_MASK)

    # Targets.
    min_area: int = 100  # pixels that an object must exceed (MIN_MASK_AREA)
    masks_of_all_classes: bool = False  # not only of classes with an example (NEW_MASK_IDSET)
    large_only: bool = False  # prompts too learn known and large objects alone (DELETE_MASK)
    image_lists: bool = True  # the leak: image-level lists of classes that are present and absent
    absent_from_all: bool = True  # the leak: absent classes are drawn from unknown ones too

    # Losses.
    example_loss: bool = True  # EXAMPLE_SUP
    only_matched: bool = True  # of supervised groups (QUERY_REPEAT_ONLY_MATCH)
    own_classifier: bool = False  # of prompts (OPEN_CLASSIFICATION)
    binary: bool = True  # object or not, in place of classes (BINARY_CLASSIFICATION)
    prompt_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)  # class, mask, dice of prompts
    prompt_no_object: float = 0.1  # OPEN_NO_OBJECT_WEIGHT
    cache_loss: float = 0.0  # EXAMPLE_QUERY_LOSS
    batch_loss: float = 0.0  # EXAMPLE_QUERY_BATCHWISE_LOSS

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.num_prompts < 0 or self.num_prompts % self.repeat:
            raise SegtuneError(
                f"num_prompts={self.num_prompts}, repeat={self.repeat}; num_prompts must be a "
                "multiple of repeat"
            )
        if self.num_examples < 0 or not 0 <= self.momentum <= 1:
            raise SegtuneError(
                f"num_examples={self.num_examples}, momentum={self.momentum}; expected 0 or more, "
                "and 0 to 1"
            )
        if self.min_area < 0 or self.prompt_no_object < 0 or min(self.prompt_weights) < 0:
            raise SegtuneError(
                f"min_area={self.min_area}, prompt_weights={self.prompt_weights}, "
                f"prompt_no_object={self.prompt_no_object}; none may be below zero"
            )
        if min(self.cache_loss, self.batch_loss) < 0:
            raise SegtuneError("cache_loss and batch_loss must be 0 or more")

    @property
    def num_groups(self) -> int:
        """P / R."""
        return self.num_prompts // self.repeat
