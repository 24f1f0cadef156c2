"""SegPrompt: category prompts that teach a class-agnostic Mask2Former (Zhu et al., ICCV 2023).

In training two more groups of queries run through the decoder: prompts, that find all objects of a
class, and examples, that look inside of annotated masks. Learned queries never see them, so what is
used afterwards is a plain Mask2Former.

`config` has every switch, `prompts` all that is learned besides the Mask2Former, `targets` says who
learns what from an image, `model` runs the three groups, `loss` compares, `official` reads released
layouts.
"""
