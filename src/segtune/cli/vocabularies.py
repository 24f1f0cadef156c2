"""`segtune vocabularies`: what `--vocab`, `--templates` and `--protocol` can name."""

from __future__ import annotations

from argparse import Namespace

from segtune.cli.tables import print_table
from segtune.errors import unknown_name
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin, builtin_names, describe
from segtune.vocabulary.parse import parse_vocabulary
from segtune.vocabulary.protocols import Protocol, find_protocol, is_protocol, protocol_names
from segtune.vocabulary.templates import ALSO_CALLED, read_templates, template_names


def run(options: Namespace) -> int:
    """Prints all names, or the words behind one name."""
    name = options.name
    if name is None:
        _print_names()
    elif name in builtin_names():
        _print_words(builtin(name))
    elif is_protocol(name.partition(":")[0]):
        _print_words(parse_vocabulary(name))
    elif name in (*template_names(), *ALSO_CALLED):
        print("\n".join(read_templates(name).sentences))
    else:
        known = (*builtin_names(), *protocol_names(), *template_names(), *ALSO_CALLED)
        raise unknown_name(name, known, what="vocabulary, template set or protocol")
    return 0


def _print_names() -> None:
    rows = [(name, str(len(builtin(name))), describe(name)) for name in builtin_names()]
    print_table(("--vocab", "classes", "about"), rows)
    print()
    print_table(
        ("--protocol", "classes", "seen", "unseen", "about"),
        [_protocol_row(find_protocol(name)) for name in protocol_names()],
    )
    print()
    print_table(
        ("--templates", "or", "sentences", "first"),
        [
            (each.name, _other_names(each.name), str(len(each.sentences)), each.sentences[0])
            for each in map(read_templates, template_names())
        ],
    )


def _other_names(templates: str) -> str:
    return ", ".join(short for short, name in ALSO_CALLED.items() if name == templates)


def _protocol_row(protocol: Protocol) -> tuple[str, ...]:
    classes = protocol.classes()
    groups = [len(classes.ids_in(group)) for group in ("seen", "unseen")]
    counts = [str(count) if protocol.unseen else "" for count in groups]
    return (protocol.name, str(len(classes)), *counts, protocol.about)


def _print_words(vocabulary: Vocabulary) -> None:
    for concept in vocabulary:
        tag = f"  ({concept.group})" if concept.group else ""
        print(" | ".join(concept.names) + tag)
