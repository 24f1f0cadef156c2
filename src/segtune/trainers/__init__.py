"""What is trained whole: mask proposals, CLIP on pairs, the bundled models."""
