"""Files: written whole or not at all, cache folders, JSONL, and the one door for weights."""
