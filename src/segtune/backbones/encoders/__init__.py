"""Image encoders that several frozen models share, each with its key table."""
