"""How the bundled models are made; their weights are in `segtune/zoo`."""
