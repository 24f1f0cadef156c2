"""What is learned: a class-agnostic Mask2Former, and the prompts beside it where there are any."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segtune.backbones.mask2former.model import Mask2Former
from segtune.systems.segprompt.loss import learned_losses, segprompt_losses, summed
from segtune.systems.segprompt.model import SegPrompt, plain_answers
from segtune.systems.segprompt.prompts import SegPrompts
from segtune.systems.segprompt.targets import ClassSets, RandomChooser, training_targets
from segtune.train.checkpoints import Stateful
from segtune.train.trainable import Trainable
from segtune.trainers.segprompt.batches import Batch
from segtune.trainers.segprompt.recipe import SegPromptRecipe

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.Embedding)
TABLES = (
    *("query_content", "query_position", "level_embeds", "bias_table"),
    *("repeat_content", "repeat_position"),
)
"""Embeddings that are no `nn.Embedding`."""


class Trainee(nn.Module, Trainable):
    """A Mask2Former in training.

    Args:
        model: changed in place; all of it is learned, but a frozen image encoder.
        prompts: None trains the baseline.
        classes: whose masks are learned, and of which at most the names are used.
    """

    def __init__(
        self,
        model: Mask2Former,
        prompts: SegPrompts | None,
        recipe: SegPromptRecipe,
        classes: ClassSets,
    ) -> None:
        super().__init__()
        self.model, self.prompts, self.recipe, self.classes = model, prompts, recipe, classes
        self._shown: tuple[Tensor, Tensor] | None = None  # states of examples and their classes
        model.requires_grad_(True)
        if recipe.freeze_encoder:
            model.image_encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Trainee:
        """A frozen image encoder stays in evaluation mode."""
        super().train(mode)
        if self.recipe.freeze_encoder:
            self.model.image_encoder.eval()
        return self

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch by group and kind."""
        recipe, config, device = self.recipe, self.recipe.prompts, self.model.device
        choosers = [RandomChooser(seed) for seed in batch.seeds]
        targets = training_targets(batch.images, config, self.classes, choosers).to(device)
        memory = self.model.memory(batch.pixels.to(device))
        generator = torch.Generator().manual_seed(batch.seed)
        if self.prompts is None:
            terms = learned_losses(
                plain_answers(self.model.decoder, memory),
                targets.learned,
                config,
                recipe.loss_config(),
                generator=generator,
            )
            return summed("learned", terms)
        picks = self.prompts.picks(recipe.num_queries, generator).to(device)
        taught = SegPrompt(self.model.decoder, self.prompts)
        answers = taught(memory, targets.class_ids, picks, targets.example_masks)
        self._shown = (answers.example_states.detach(), targets.example_ids)
        return segprompt_losses(
            answers,
            targets,
            config,
            recipe.loss_config(),
            generator=generator,
            cache=self.prompts.cache,
        )

    def after_step(self, done: int) -> None:
        """Moves the cache to what the examples of the step looked like."""
        if self.prompts is not None and self._shown is not None:
            self.prompts.cache.update(*self._shown)
            self._shown = None

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW with the groups of `parameter_groups`."""
        return {"adamw": torch.optim.AdamW(parameter_groups(self, self.recipe), lr=self.recipe.lr)}

    def state(self) -> dict[str, Stateful]:
        """Returns all weights and the cache."""
        return {"model": self}


def parameter_groups(trainee: nn.Module, recipe: SegPromptRecipe) -> list[dict[str, Any]]:
    """Returns the learned parameters by rate and weight decay; empty groups are left out.

    The image encoder learns at `encoder_lr` times the rate. Norm layers and embeddings are not
    decayed.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for place, module in trainee.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                in_encoder = "image_encoder" in place
                is_decayed = not isinstance(module, NORMS) and name not in TABLES
                groups.setdefault((in_encoder, is_decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.lr * (recipe.encoder_lr if in_encoder else 1.0),
            "weight_decay": recipe.weight_decay if is_decayed else 0.0,
        }
        for (in_encoder, is_decayed), parameters in groups.items()
    ]
