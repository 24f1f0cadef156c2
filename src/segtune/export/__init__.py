"""Results in the forms that other tools take.

`sinks` is the table of formats, each with its own file; `folder` writes many results in several
formats, `save` writes one; `supervision` converts one in memory.
"""
