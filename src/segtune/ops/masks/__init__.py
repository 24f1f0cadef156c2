"""Many masks of one image: what lies under each, and which of them stay."""
