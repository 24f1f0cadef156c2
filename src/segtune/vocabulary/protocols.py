"""Evaluation protocols by name: what is scored, which words the model gets, what is unseen.

`find_protocol("PC-59")` is a benchmark of open-vocabulary segmentation; `find_protocol("voc15-5")`
one of generalised zero-shot segmentation, whose training labels show only some of the classes;
`find_protocol("LVIS-OW")` one of open-world instances.
Case and dashes of a name do not count. Everything is plain data in `protocols.json`, with the
settings that two-stage systems were published with.

Sources: OVSeg for the benchmarks (PAS-20b: CAT-Seg); ZegCLIP, RPN and SimBaseline for the zero-shot
splits of VOC, COCO-Stuff and Context; ZegFormer for ADE20K; SegPrompt for LVIS-OW; OLN (Kim et al.,
RA-L 2022) for VOC to COCO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from segtune.errors import SegtuneError, unknown_name
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import NameStyle, builtin
from segtune.vocabulary.scoring_map import ScoringMap

Group = Literal["known", "seen", "unseen"]


@dataclass(frozen=True)
class PublishedSetting:
    """What a published system used for one protocol.

    Attributes:
        system: a name in `segtune.systems.SYSTEMS`.
        source: where the values are printed.
        options: fields of the system's config, as `build_system` takes them: `threshold`, the
            probability above which a pixel belongs to the region that CLIP sees; `weight`, the
            exponent 0..1 of CLIP's probability; `gamma`, taken off the maps of seen classes. A
            field that is not there kept the value of the model.
    """

    system: str
    source: str
    options: Mapping[str, float]


@dataclass(frozen=True)
class Protocol:
    """One benchmark.

    Attributes:
        name: as papers print it.
        about: one line.
        layout: of its data, a name for `--layout`.
        scored: built-in vocabulary of the classes that are scored.
        asked: built-in vocabulary of the words that the model gets; mostly the same.
        same: word -> scored class, where the two go by different names.
        others: scored class of the words that are none.
        unseen: names of the classes that training labels never show; empty without such a split.
        known: where objects are found without names, those that training labels show; classes that
            are neither known nor unseen are in training images, without labels.
        task: what is scored, a name for `--task`.
        settings: of published systems; the first of a system is the one it is run with.
    """

    name: str
    about: str
    layout: str
    scored: str
    asked: str
    same: Mapping[str, str] = field(default_factory=dict)
    others: str | None = None
    unseen: tuple[str, ...] = ()
    settings: tuple[PublishedSetting, ...] = ()
    known: tuple[str, ...] = ()
    task: str = "semantic"

    def classes(self) -> Vocabulary:
        """Returns the scored classes, tagged where there is a split."""
        return self._tagged(builtin(self.scored))

    def words(self, names: NameStyle = "synonyms") -> Vocabulary:
        """Returns the words that the model gets, tagged like the classes.

        Args:
            names: how classes are called; see `builtin`.
        """
        return self._tagged(builtin(self.asked, names=names))

    def scoring_map(self, names: NameStyle = "synonyms") -> ScoringMap:
        """Returns what each of the words counts as."""
        words, classes = self.words(names), self.classes()
        if self.asked == self.scored:
            return ScoringMap.same_order(words, classes)
        plain = ScoringMap.by_name(self.words(), classes, same=self.same, others=self.others)
        return ScoringMap(words, classes, plain.class_ids)

    def setting(self, system: str, *, source: str | None = None) -> PublishedSetting | None:
        """Returns the setting of a system; None where none was published.

        Args:
            source: the beginning of the source to take, where a system has several.
        """
        of_system = [setting for setting in self.settings if setting.system == system]
        wanted = (s for s in of_system if source is None or s.source.startswith(source))
        return next(wanted, None)

    def _tagged(self, vocabulary: Vocabulary) -> Vocabulary:
        if not self.unseen:
            return vocabulary
        groups: dict[int, Group] = {}
        tagged: tuple[tuple[Group, tuple[str, ...]], ...]
        tagged = (("known", self.known), ("unseen", self.unseen))
        for group, names in tagged:
            groups |= {builtin(self.scored).index(name): group for name in names}
        concepts = tuple(
            replace(concept, group=groups.get(i, "seen")) for i, concept in enumerate(vocabulary)
        )
        return replace(
            vocabulary,
            concepts=concepts,
            name=vocabulary.name.replace(self.scored, self.name),
        )


@cache
def _protocols() -> dict[str, Protocol]:
    text = resources.files("segtune.vocabulary").joinpath("protocols.json").read_text("utf-8")
    return {name: _read(name, entry) for name, entry in json.loads(text).items()}


def _read(name: str, entry: dict[str, Any]) -> Protocol:
    scored = entry["classes"]
    named = {group: tuple(entry.get(group, ())) for group in ("known", "unseen")}
    for group in named:
        if ids := entry.get(f"{group}_ids"):
            names = builtin(scored).names
            named[group] = tuple(names[i] for i in ids)
    return Protocol(
        name,
        entry["about"],
        entry["layout"],
        scored,
        entry.get("words", scored),
        same=entry.get("same", {}),
        others=entry.get("others"),
        unseen=named["unseen"],
        settings=tuple(PublishedSetting(**setting) for setting in entry.get("settings", ())),
        known=named["known"],
        task=entry.get("task", "semantic"),
    )


def protocol_names(task: str | None = None) -> tuple[str, ...]:
    """Returns the names of all protocols, or of those of a task.

    Example:
        >>> protocol_names("open-world")
        ('LVIS-OW',)
    """
    return tuple(n for n, each in _protocols().items() if task in (None, each.task))


def is_protocol(name: str) -> bool:
    """Returns whether there is a protocol of this name, in any case, with or without dashes."""
    return _key(name) in map(_key, _protocols())


def find_protocol(name: str) -> Protocol:
    """Returns the protocol of a name.

    Example:
        >>> find_protocol("pas20b").name, find_protocol("A-847").scored
        ('PAS-20b', 'ade20k_847')
    """
    for known, protocol in _protocols().items():
        if _key(known) == _key(name):
            return protocol
    raise unknown_name(name, protocol_names(), what="protocol")


def _key(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def zero_shot(name: str, group: Group | None = None) -> Vocabulary:
    """Returns the vocabulary of a protocol with unseen classes, in the groups of `Group`.

    Args:
        name: of a protocol with unseen classes.
        group: only the classes of one group, in their order, without tags.

    Example:
        >>> zero_shot("voc15-5").ids_in("unseen")
        (15, 16, 17, 18, 19)
        >>> len(zero_shot("coco156-15", "seen"))
        156
    """
    protocol = find_protocol(name)
    if not protocol.unseen:
        raise SegtuneError(f"protocol {protocol.name} has no unseen classes")
    vocabulary = protocol.classes()
    if group is None:
        return vocabulary
    part = vocabulary.subset(vocabulary.ids_in(group), name=f"{protocol.name}:{group}")
    return replace(part, concepts=tuple(replace(concept, group=None) for concept in part))


def seen_first(vocabulary: Vocabulary) -> tuple[int, ...]:
    """Returns the class ids with the seen ones first, both groups in their order.

    ZegFormer numbers the 171 classes of COCO-Stuff so, where SimBaseline, OVSeg and this project
    keep the order of the data set: its class i is our class `seen_first(vocabulary)[i]`.

    Example:
        >>> order = seen_first(zero_shot("coco156-15"))
        >>> zero_shot("coco156-15").names[order[156]]
        'cow'
    """
    return (*vocabulary.ids_in("seen"), *vocabulary.ids_in("unseen"))
