"""Nouns of captions: the words that a mask of the image may be named by.

Every backend maps captions to lists of `Noun`; `registry.make_extractor` builds one by name,
`base.extract_nouns` applies it together with the clean-up that all backends share.

Where is what:
    base: `Noun`, the protocol, cutting sentences into words, the shared clean-up.
    singular: plurals of English nouns folded to their singular.
    lexicon: words of a vocabulary, found in captions; the default.
    rules, word_lists: closed word lists and suffixes, no vocabulary needed.
    nltk_tags, spacy_chunks: taggers of the packages of those names.
    llm: any OpenAI-compatible endpoint, with answers kept on disk.
    given: nouns computed elsewhere: a JSONL file or a Python function.
    scores: precision and recall against labelled captions.
"""
