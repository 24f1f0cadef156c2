"""The tasks that can be evaluated, by name. Listing them imports none of their code.

A task is a judge: it asks a model about a sample, counts the answer, and knows what to show of it;
`segtune.eval.judging` runs it over a data set. A task of another package is an entry point of the
group "segtune.judges" that names a `JudgeSpec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segtune.storage.registry import Registry

Asks = Literal["semantic", "instance", "panoptic", "regions", "places"]
"""What a model is asked for: a task of `Segmenter.segment`, or masks for clicks and boxes."""
Need = Literal["label maps", "objects", "objects of things", "groups"]
"""What data must have; see `segtune.eval.needs`."""


@dataclass(frozen=True)
class JudgeSpec:
    """One task.

    Attributes:
        measures: its main score, in a few words.
        lead: what the headline numbers are, in one sentence of a report.
        needs: what the data must have.
        asks: what the model is asked for.
        headline: names of its `Scores.summary` that a terminal has room for, the most important
            first, whose values by group, such as "AP(unseen)", are shown too.
        class_columns: columns of its `Scores.per_class`; empty where classes play no role.
        judge: where its class lives, "module:Class"; see `segtune.eval.judging.Judge`.
    """

    name: str
    measures: str
    lead: str
    needs: tuple[Need, ...]
    asks: Asks
    headline: tuple[str, ...]
    class_columns: tuple[str, ...]
    judge: str

    @property
    def takes_prompts(self) -> bool:
        """Whether learned prompts can answer."""
        return self.asks != "places"

    @property
    def takes_min_score(self) -> bool:
        """Whether answers are scored segments, of which weak ones can be left out."""
        return self.asks in ("instance", "panoptic", "regions")


JUDGES: Registry[JudgeSpec] = Registry(
    "task",
    (
        JudgeSpec(
            "semantic",
            "mIoU of all pixels",
            "Percent, over all labelled pixels of the split.",
            needs=("label maps",),
            asks="semantic",
            headline=("pAcc", "mIoU", "mIoU(S)", "mIoU(U)", "hIoU"),
            class_columns=("IoU", "Acc"),
            judge="segtune.eval.judges.semantic:SemanticJudge",
        ),
        JudgeSpec(
            "instance",
            "AP of things",
            "Percent, by COCO's protocol, over all annotated things of the split. S, m and l are "
            "small, medium and large objects.",
            needs=("objects",),
            asks="instance",
            headline=("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100"),
            class_columns=("AP", "AP50", "AP75", "AR@100"),
            judge="segtune.eval.judges.instance:InstanceJudge",
        ),
        JudgeSpec(
            "federated",
            "AP of things where only some classes were looked for in an image",
            "Percent, by the protocol of LVIS, over all annotated things of the split, with 300 "
            "predictions per image: those of classes that nobody looked for do not count. S, m and "
            "l are small, medium and large objects.",
            needs=("objects",),
            asks="instance",
            headline=("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@300"),
            class_columns=("AP", "AP50", "AP75", "AR@300"),
            judge="segtune.eval.judges.federated:FederatedJudge",
        ),
        JudgeSpec(
            "panoptic",
            "PQ of things and stuff",
            "Percent, over all annotated segments of the split; th are things, st is stuff.",
            needs=("objects of things",),
            asks="panoptic",
            headline=("PQ", "SQ", "RQ", "PQth", "SQth", "RQth", "PQst", "SQst", "RQst"),
            class_columns=("PQ", "SQ", "RQ"),
            judge="segtune.eval.judges.panoptic:PanopticJudge",
        ),
        JudgeSpec(
            "promptable",
            "IoU of one click and one box per object",
            "Percent, the mean overlap of the answer to one click or one box per object.",
            needs=("objects",),
            asks="places",
            headline=("1-click IoU", "1-box IoU"),
            class_columns=("1-click IoU", "1-box IoU"),
            judge="segtune.eval.judges.promptable:PromptableJudge",
        ),
        JudgeSpec(
            "open-world",
            "recall of things by group of classes, whatever they are called",
            "Percent, by the protocol of LVIS-OW: the share of the things of a class that the best "
            "regions of an image find, whatever these are called; the mean over classes. S, m and "
            "l are small, medium and large objects.",
            needs=("objects", "groups"),
            asks="regions",
            headline=("AR@100", "AR@10", "ARs@100", "ARm@100", "ARl@100"),
            class_columns=("AR@100",),
            judge="segtune.eval.judges.regions:OpenWorldJudge",
        ),
        JudgeSpec(
            "class-agnostic",
            "recall and AP of things as one class",
            "Percent, by COCO's protocol, as if all things were one class. S, m and l are small, "
            "medium and large objects. Of a group alone, regions on other things are errors; or, "
            "with others out, they leave the ranking before its best are taken.",
            needs=("objects",),
            asks="regions",
            headline=("AR@100", "AR@10", "AP", "AP50", "AP75"),
            class_columns=(),
            judge="segtune.eval.judges.regions:ClassAgnosticJudge",
        ),
    ),
    group="segtune.judges",
)
