"""The classes of LVIS-OW by their LVIS ids, and those that COCO shares.

The groups are those of the protocol LVIS-OW; a class is unseen where LVIS calls it rare.
"""

from __future__ import annotations

from segtune.vocabulary.builtin import builtin, category_ids
from segtune.vocabulary.protocols import zero_shot

NAMES = dict(zip(category_ids("lvis_1203"), builtin("lvis_1203").names, strict=True))
"""LVIS id -> name."""
KNOWN, SEEN, RARE = (
    frozenset(category_ids("lvis_1203")[i] for i in zero_shot("LVIS-OW").ids_in(group))
    for group in ("known", "seen", "unseen")
)
"""LVIS ids of the classes that are annotated in training, visible there, and in no image of it."""
COCO_NAMES = dict(zip(category_ids("coco_80"), builtin("coco_80").names, strict=True))
"""COCO id -> name."""
# By synset; hot dog (58) is no class of LVIS v1.
# fmt: off
COCO_TO_LVIS = {
    1: 793, 2: 94, 3: 207, 4: 703, 5: 3, 6: 173, 7: 1115, 8: 1123, 9: 118, 10: 1112, 11: 445,
    13: 1019, 14: 766, 15: 90, 16: 99, 17: 225, 18: 378, 19: 569, 20: 943, 21: 80, 22: 422,
    23: 76, 24: 1202, 25: 496, 27: 34, 28: 1133, 31: 35, 32: 716, 33: 36, 34: 474, 35: 964,
    36: 976, 37: 41, 38: 611, 39: 58, 40: 60, 41: 962, 42: 1037, 43: 1079, 44: 133, 46: 1190,
    47: 344, 48: 469, 49: 615, 50: 1000, 51: 139, 52: 45, 53: 12, 54: 912, 55: 735, 56: 154,
    57: 217, 59: 816, 60: 387, 61: 183, 62: 232, 63: 982, 64: 837, 65: 77, 67: 367, 70: 1097,
    72: 1077, 73: 631, 74: 705, 75: 881, 76: 296, 77: 230, 78: 687, 79: 739, 80: 1095, 81: 961,
    82: 421, 84: 127, 85: 271, 86: 1139, 87: 923, 88: 1071, 89: 534, 90: 1102,
}
# fmt: on
"""COCO id -> LVIS id of the 79 shared classes."""
