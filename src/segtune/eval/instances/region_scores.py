"""Scores of regions as such, of all objects and of those of one group at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segtune.eval.instances.scores import InstanceScores


@dataclass(frozen=True)
class RegionScores:
    """Precision and recall as if there were one class, fractions 0..1.

    What one group reaches is told by two conventions, which cannot be compared:

    Attributes:
        everything: all objects are to be found.
        others_dropped: group -> its objects are to be found, the others are not annotated. There
            is no precision: regions on the others would count as errors.
        others_out: group -> regions that match the others leave the list before the limit applies;
            its own last limit is the length of that list.
    """

    everything: InstanceScores
    others_dropped: Mapping[str, InstanceScores] = field(default_factory=dict)
    others_out: Mapping[str, InstanceScores] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """Returns the headline numbers by their usual short names, the most important first.

        "AR@10(unseen)" drops the other objects, "AR@10(unseen, others out)" takes them out.
        """
        whole, limits = self.everything.summary(), self.everything.limits[::-1]
        row = {f"AR@{limits[0]}": whole[f"AR@{limits[0]}"]} | whole
        for name, scores in self.others_dropped.items():
            for limit in limits:
                row[f"AR@{limit}({name})"] = scores.average_recall(limit=limit)
        for name, scores in self.others_out.items():
            for limit in limits:
                row[f"AR@{limit}({name}, others out)"] = scores.average_recall(limit=limit)
            row[f"AP({name}, others out)"] = scores.average_precision(limit=limits[0])
        return row

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns nothing: classes play no role."""
        return {}
