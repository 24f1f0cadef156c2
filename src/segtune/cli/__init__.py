"""The command line.

Where is what:
    main: finds and runs a command; the one place where errors become one line.
    commands, options: the commands with their options and examples; nothing heavy is imported.
    segment, fit, evaluate, mine, train, demo, models, datasets, vocabularies, doctor: one command
        each, as a function `run(options)` that returns the exit status.
    loading: from options to a model, prompts, a dataset.
    images, outputs: which images are meant, and the files that `segment` writes.
    scoring: tables of scores, and retention.
    tables: aligned or drawn tables.
"""
