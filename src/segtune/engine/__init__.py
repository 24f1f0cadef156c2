"""Data made by models from many images: stages as functions of rows, on one machine or on many.

    graph       stages, and the key of everything that a shard of one depends on
    source      the rows of a dataset, divided into shards
    store       shards as Parquet files, with their keys
    work        a stage on a shard, as every process does it
    run         all stages on all shards; what is there is not made again
    runners/    processes of this machine, or Ray
    graphs/     mining of pairs (OVSeg), alignment (Uni-OVSeg)

What the stages do, as plain functions:
    masks       the regions of an image, from its labels or a proposal model
    regions     what CLIP makes of each region; kept on disk
    stage       both of them on an image
    words       the nouns of captions, and what CLIP makes of each
    match       the region that is most like each noun
    judge       whether a pair agrees with the labels, where there are any
    entries, statistics    what came out
"""
