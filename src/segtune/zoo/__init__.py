"""Bundled small models, the cards of all models, and how the bundled ones are made.

Where is what:
    cards: names, sources, licences, checksums; needs no torch.
    clip-vit-tiny/: the bundled CLIP ViT as a Hugging Face folder.
    clip_recipe, train_clip: its settings and its training; clip_pool, clip_batch, clip_captions:
        what it sees and reads; clip_model, clip_loss, tokenizer: what it is.
    evaluate_clip: its zero-shot scores.
"""
