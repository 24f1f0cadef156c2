"""Which scored class every word of the model counts as.

Most benchmarks ask for the classes that they score. Some do not: PAS-20b asks for the 59 names of
PASCAL Context and counts those that VOC lacks as background. The rule is applied after the model
has decided, so words never compete as groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from segtune.errors import SegtuneError
from segtune.types import IGNORE, Segmentation, Vocabulary


@dataclass(frozen=True)
class ScoringMap:
    """The words that a model is asked for, and what each counts as.

    Attributes:
        words: K words, what the model sees.
        classes: C classes, what is scored.
        class_ids: K ids 0..C - 1; several words may count as one class.

    Example:
        >>> words, classes = Vocabulary.of("cat", "sky", "tree"), Vocabulary.of("background", "cat")
        >>> ScoringMap.by_name(words, classes, others="background").class_ids
        (1, 0, 0)
    """

    words: Vocabulary
    classes: Vocabulary
    class_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.class_ids) != len(self.words):
            raise SegtuneError(
                f"{len(self.class_ids)} class ids for {len(self.words)} words; give one per word"
            )
        if not all(0 <= i < len(self.classes) for i in self.class_ids):
            raise SegtuneError(
                f"class ids run from {min(self.class_ids)} to {max(self.class_ids)}; expected "
                f"0..{len(self.classes) - 1}"
            )

    @classmethod
    def same_order(cls, words: Vocabulary, classes: Vocabulary) -> ScoringMap:
        """Returns the map in which word i counts as class i.

        Raises:
            SegtuneError: there are more or fewer words than classes.
        """
        if len(words) != len(classes):
            raise SegtuneError(
                f"{words.name} has {len(words)} names for the {len(classes)} classes of "
                f"{classes.name}; give one per class, in the order of the classes"
            )
        return cls(words, classes, tuple(range(len(classes))))

    @classmethod
    def by_name(
        cls,
        words: Vocabulary,
        classes: Vocabulary,
        *,
        same: Mapping[str, str] | None = None,
        others: str | None = None,
    ) -> ScoringMap:
        """Returns the map in which a word counts as the class of its name.

        Args:
            same: word -> class, where the two go by different names.
            others: the class that all other words count as.

        Raises:
            SegtuneError: a word is no class and there is no class for the others.
        """
        same = same or {}
        ids = []
        for word in words.names:
            name = same.get(word, word)
            if name not in classes.names:
                if others is None:
                    raise SegtuneError(f"the word {word!r} is no class of {classes.name}")
                name = others
            ids.append(classes.index(name))
        return cls(words, classes, tuple(ids))

    def called(self, words: Vocabulary) -> ScoringMap:
        """Returns the map with other names for its words, in their order; tags stay.

        Raises:
            SegtuneError: there are more or fewer names than words.
        """
        if len(words) != len(self.words):
            raise SegtuneError(
                f"{words.name} has {len(words)} names for the {len(self.words)} words of "
                f"{self.words.name}; give one per word, in their order"
            )
        pairs = zip(words, self.words, strict=True)
        concepts = tuple(replace(new, group=old.group) for new, old in pairs)
        return replace(self, words=replace(words, concepts=concepts))

    @property
    def is_one_to_one(self) -> bool:
        """Whether word i counts as class i."""
        return self.class_ids == tuple(range(len(self.classes)))

    def counted(self, semantic: np.ndarray) -> np.ndarray:
        """Returns the (H, W) int32 scored class ids of word ids; `IGNORE` stays.

        Example:
            >>> words, classes = Vocabulary.of("cat", "sky"), Vocabulary.of("background", "cat")
            >>> counts_as = ScoringMap(words, classes, (1, 0))
            >>> counts_as.counted(np.array([[0, 1, IGNORE]])).tolist()
            [[1, 0, -1]]
        """
        table = np.array([*self.class_ids, IGNORE], np.int32)  # the last place is that of IGNORE
        counted: np.ndarray = table[semantic]
        return counted

    def of_answer(self, answer: Segmentation) -> Segmentation:
        """Returns an answer over the words as one over the scored classes.

        Raises:
            SegtuneError: the answer has segments whose classes several words share.
        """
        if answer.segments and not self.is_one_to_one:
            raise SegtuneError(
                "words that share a class have no instances or panoptic segments of it; "
                "evaluate this protocol with task semantic"
            )
        semantic = None if answer.semantic is None else self.counted(answer.semantic)
        return replace(answer, vocabulary=self.classes, semantic=semantic)
