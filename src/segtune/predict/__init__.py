"""A loaded model answers: words, points and boxes, names for given masks."""
