"""Weight folders of the bundled models. Their cards are in `segtune.backbones.cards`."""
