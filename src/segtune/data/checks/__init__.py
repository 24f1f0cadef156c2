"""What data holds before anything is learned from it: counts, what was left out, what looks odd."""
