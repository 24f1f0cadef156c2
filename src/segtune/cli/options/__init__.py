"""The options of commands, before a command runs: only argparse and tables of names are imported.

Where is what:
    commands: the options of each command; those of `mine` are in a file of their own.
    groups: options that several commands share.
    values: what a word on the command line means, and what it must not be.
"""
