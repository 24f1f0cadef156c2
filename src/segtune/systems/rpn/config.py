"""Settings of the prompted CLIP segmenters: RPN in both variants and the peers it is compared with.

One dataclass describes all of them, because they differ in three choices only: what is put beside
the tokens of each layer (relationship prompts, static prompts, LoRA, nothing), how the last layer
is read (linear projection module, its training-free form, ZegCLIP's decoder), and the loss.
[P] marks the RPN paper, [C] its released code, [Z] ZegCLIP, [R] our reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from segtune.errors import SegtuneError
from segtune.systems.options import checked


@dataclass(frozen=True)
class RPNConfig:
    """Every choice of a prompted CLIP; the defaults are the paper's RPN, gaps filled by [R]."""

    # Relationship prompts: one per class and layer, made from the image (RPN section 3).
    relationship: bool = True  # emit them
    layers: str = "all"  # which layers emit: all | odd | even | comma list, 1-based, never the last
    itp: Literal["both", "no_image", "no_pixel"] = "both"  # which levels meet the text, eq. 2-4
    apg: Literal["parameter", "linear"] = "parameter"  # pixel knowledge h alone, or with a bias
    h_mode: Literal["shared", "per_layer"] = "shared"  # shared is the only reading near 3 M
    prefix: Literal["cat", "add", "mul"] = "cat"  # prompts beside the tokens, or onto them
    train_grid: tuple[int, int] = (32, 32)  # patch grid at which h is learned; resized elsewhere

    # Mixture of multi-scale experts on the patch tokens inside the relationship path.
    m2oe: bool = True  # have experts
    m2oe_rank: int = 3  # of their shared bottleneck, [P] Table 8
    m2oe_experts: int = 4  # scales 1, 1/2, 1/4, 1/8
    m2oe_top_k: int = 2  # never stated; with 1 the softmax is constant and the gate cannot learn
    m2oe_gated: bool = True  # False sums all experts
    m2oe_balance: float = 0.0  # weight of the load-balance loss, 1e-2 where it is wanted

    # Static prompts (VPT, ZegCLIP, released RPN).
    static_tokens: int = 0  # learned tokens per layer, the same for any image
    static_mode: Literal["deep", "shallow"] = "deep"  # a set per layer, or one at the input
    static_layers: int | None = None  # deep: n > 0 the first n layers, n < 0 the last; None all
    prompt_projection: bool = False  # one Linear d -> d shared by all prompts [C][Z]
    prompt_norm: bool = True  # trainable LayerNorm before the joint space
    prompt_dropout: float = 0.1  # of all prompts, while training
    prompt_path: Literal["kv", "concat"] = "kv"  # same numbers; concat is slower, as released [C]

    # Low-rank adaptation instead of prompts.
    lora_rank: int = 0  # 0: none
    lora_alpha: float = 16.0  # deltas are scaled by it over the rank

    # Reading the last layer.
    head: Literal["lpm", "tfpm", "decoder"] = "lpm"  # linear, training-free, or ZegCLIP's
    lpm: Literal["a", "b", "c"] = "c"  # a class is its text t, t * image g, or both of them
    text_linears: Literal[1, 2] = 1  # on the text branch of the head: [P] one; [C] two
    decoder_layers: int = 3  # of head=decoder [Z]
    decoder_heads: int = 8  # of its attention [Z]

    # Loss (section 4 of the paper; exact form of the released code).
    loss: Literal["sigmoid", "softmax"] = "sigmoid"  # focal and dice, or cross-entropy
    focal_weight: float = 100.0  # of the focal loss [C][Z]
    dice_weight: float = 1.0  # of the dice loss [C][Z]
    mask_ignored: bool = False  # False: ignored pixels are negatives of every class [C][Z]
    loss_stride: int = 1  # n > 1 compares every n-th label pixel only; approximate, n^2 cheaper
    seen_shift: float = 0.1  # taken off the probabilities of seen classes in zero-shot protocols

    # Input conventions of the official code.
    class_embedding_twice: bool = False  # on the class token, as released [C][Z]
    imagenet_normalization: bool = False  # in place of that of the model [C][Z]

    # Learning rates.
    h_lr_factor: float = 1.0  # of h; released code: 0.1, because no rule matched the name [C]

    def __post_init__(self) -> None:
        if self.static_mode == "shallow" and self.relationship:
            raise SegtuneError(
                "static_mode='shallow' keeps one set of prompts; use relationship=False"
            )
        if self.lora_rank and (self.relationship or self.static_tokens):
            raise SegtuneError("choose prompts or lora_rank, not both")

    def emitting_layers(self, num_layers: int) -> tuple[int, ...]:
        """Returns the 0-based layers after which a relationship prompt is made."""
        if not self.relationship:
            return ()
        last = num_layers - 1
        if self.layers in ("all", "odd", "even"):
            numbers = range(
                2 if self.layers == "even" else 1, num_layers, 1 if self.layers == "all" else 2
            )
            return tuple(number - 1 for number in numbers if number - 1 < last)
        try:
            chosen = sorted({int(word) - 1 for word in self.layers.split(",")})
        except ValueError:
            raise SegtuneError(
                f"layers={self.layers!r}; type all, odd, even or numbers such as 1,3,5"
            ) from None
        if not chosen or chosen[0] < 0 or chosen[-1] >= last:
            raise SegtuneError(
                f"layers={self.layers!r}: this model has {num_layers} layers, of which 1 to {last} "
                "can emit a prompt"
            )
        return tuple(chosen)

    def static_layer_ids(self, num_layers: int) -> tuple[int, ...]:
        """Returns the 0-based layers that own a set of static prompts."""
        if not self.static_tokens:
            return ()
        if self.static_mode == "shallow":
            return (0,)
        count = self.static_layers if self.static_layers is not None else num_layers
        ids = range(num_layers)
        return tuple(ids[:count] if count >= 0 else ids[count:])


@dataclass(frozen=True)
class DenseClipConfig:
    """Every choice of the untrained dense CLIP."""

    value_path: bool = True  # False keeps the attention of the last layer


RELEASED = RPNConfig(
    m2oe=False,
    static_tokens=10,  # VOC; 100 for COCO [C]
    prompt_projection=True,
    text_linears=2,
    class_embedding_twice=True,
    imagenet_normalization=True,
    h_lr_factor=0.1,
)
PAPER = RPNConfig()
ZEGCLIP = replace(RELEASED, relationship=False, head="decoder", text_linears=1, h_lr_factor=1.0)
VPT = replace(PAPER, relationship=False, m2oe=False, static_tokens=10, prompt_projection=True)
LORA = replace(PAPER, relationship=False, m2oe=False, lora_rank=16, prompt_norm=False)
LPM_ONLY = replace(PAPER, relationship=False, m2oe=False, prompt_norm=False)

PRESETS: Mapping[str, Mapping[str, RPNConfig]] = {
    "rpn": {"released": RELEASED, "paper": PAPER},
    "zegclip": {
        "deep": ZEGCLIP,
        "shallow": replace(ZEGCLIP, static_mode="shallow", prompt_norm=False),
    },
    "vpt": {"deep": VPT, "shallow": replace(VPT, static_mode="shallow", prompt_norm=False)},
    "lora": {"default": LORA},
    "lpm": {"default": LPM_ONLY},
}


def configure(system: str, options: Mapping[str, Any] | None = None) -> RPNConfig:
    """Returns the preset of a system with options changed.

    Args:
        system: a key of `PRESETS`.
        options: field names to values; "variant" chooses among the presets of the system.

    Raises:
        SegtuneError: an option or variant is unknown, or a value of another type.
    """
    options = dict(options or {})
    presets = PRESETS[system]
    variant = options.pop("variant", next(iter(presets)))
    if variant not in presets:
        raise SegtuneError(f"{system} has no variant {variant!r}; choose {' or '.join(presets)}")
    return replace(presets[variant], **checked(RPNConfig, system, options))
