"""What can be segmented: class lists, their synonyms, text templates and zero-shot protocols.

`parse.parse_vocabulary` turns words, files and names into a `Vocabulary`, `builtin` has the class
lists of the benchmarks, `protocols` their seen and unseen classes, `templates` the sentences around
a class name, and `embeddings` what a text encoder makes of both.
"""
