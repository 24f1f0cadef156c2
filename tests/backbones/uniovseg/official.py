"""Parts of the model from golden files."""

from __future__ import annotations

from torch import Tensor

from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.reading.key_tables import keys_under, load_strictly
from segtune.backbones.uniovseg.keys import predictor_from_official
from segtune.backbones.uniovseg.mask_decoder import MaskDecoder
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder, PromptTokens
from tests.goldens import Golden

PREFIX = "state_dict.sem_seg_head.predictor"


class Parts:
    """Prompt encoder, mask decoder and inputs of a golden of the component `prompt_decoder`."""

    def __init__(self, golden: Golden) -> None:
        config = golden.config
        own = predictor_from_official(golden.part(PREFIX))
        prompts, masks = keys_under(own, "prompts."), keys_under(own, "masks.")
        encoding = FourierPositions if "positions.frequencies" in masks else SinePositions
        projection = masks.get("inputs.0.weight")
        width, granularities = config["dim"], len(prompts["masks"]) - 1
        self.encoder = PromptEncoder(width, encoding(width), num_granularities=granularities)
        self.decoder = MaskDecoder(
            width,
            num_heads=config["heads"],
            feedforward=config["ffn"],
            num_layers=config["layers"],
            in_channels=None if projection is None else projection.shape[1],
            positions=encoding(width),
            num_granularities=granularities,
        )
        load_strictly(self.encoder, prompts, golden.path.name)
        load_strictly(self.decoder, masks, golden.path.name)
        for part in (self.encoder, self.decoder):
            part.requires_grad_(False)
        self.inputs = golden.part("inputs")
        self.size = tuple(config["image_size"])
        self.features: Tensor = self.inputs["mask_features"]
        self.levels = [self.inputs[f"multi_scale_features.{level}"] for level in range(3)]

    def to_double(self) -> Parts:
        """Changes everything to float64."""
        self.encoder.double()
        self.decoder.double()
        self.inputs = {name: value.double() for name, value in self.inputs.items()}
        self.features = self.features.double()
        self.levels = [level.double() for level in self.levels]
        return self

    def prompts(self, kind: str) -> PromptTokens:
        """Those of points or of boxes."""
        if kind == "box":
            return self.encoder.boxes(self.inputs["boxes_xyxy"], self.features, self.size)
        boxes = self.inputs["points_xyxy"]
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        return self.encoder.points(centres, self.features, self.size)
