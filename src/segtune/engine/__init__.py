"""Training data made by models: pairs of masks and words mined from captions.

The stages of mining are plain functions, in this order:
    masks: the regions of an image, from its labels or a proposal model.
    regions: what CLIP makes of each region; kept on disk.
    words: the nouns of the captions, and what CLIP makes of each.
    match: the region that is most like each noun.
    judge: whether a pair agrees with the labels, where there are any.
    log: what is done so far; a killed run goes on from it.
    mine: all of them in a row, by one or several processes.
    statistics: counts and quantiles of what came out.
"""
