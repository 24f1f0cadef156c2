"""What can be segmented: class lists, their synonyms, text templates and zero-shot protocols.

`parse.read_vocabulary` turns anything a user types into a `Vocabulary`, `builtin` has the class
lists of the benchmarks, `protocols` their seen and unseen classes, `templates` the sentences around
a class name, and `embeddings` what a text encoder makes of both.
"""
