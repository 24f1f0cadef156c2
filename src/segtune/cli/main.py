"""`segtune COMMAND ...`: finds the command, runs it, and turns every user mistake into one line.

This is the only place that handles errors. Nothing heavy is imported before a command runs, so
`segtune --help` and `segtune fit --help` answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from segtune.cli.commands import COMMANDS
from segtune.errors import SegtuneError, one_line
from segtune.storage.memory import OUT_OF_MEMORY, is_out_of_memory

WHEN_INTERRUPTED = {
    "align": "type the same command again to go on with the shards that are not there",
    "fit": "type the same command again to go on from its last checkpoint",
    "mine": "type the same command again to go on with the shards that are not there",
    "train": "type the same command with --resume to go on from its last checkpoint",
}
"""What to do after Ctrl-C; other commands are started again."""

FAILED, BUG, INTERRUPTED, PIPE_CLOSED = 2, 70, 130, 141
"""Exit statuses besides 0 and those of commands: a mistake of the user, one of segtune (EX_SOFTWARE
of sysexits.h), and the last two as shells give them for signals."""

DEBUG = "--debug"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, so that they are printed like all others."""

    def error(self, message: str) -> NoReturn:
        """Raises `SegtuneError` with the message and how to get help."""
        raise SegtuneError(f"{message}; type `{self.prog} --help` for the options")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0 where all went well.

    Args:
        arguments: words after `segtune`; those of the process where None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Before torch is loaded: its idle threads leave their core to those that draw and encode.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files need not be text
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (SegtuneError, OSError) as error:
        _say(_message(error))
        return FAILED
    except KeyboardInterrupt:
        way_on = WHEN_INTERRUPTED.get("".join(words[:1]), "type the same command to start again")
        _say(f"interrupted; {way_on}")
        return INTERRUPTED
    except Exception as error:
        if is_out_of_memory(error):
            _say(OUT_OF_MEMORY)
            return FAILED
        if DEBUG in words:
            traceback.print_exc()
        _say(_bug(error, advice=None if DEBUG in words else f"add {DEBUG} for the trace"))
        return BUG


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"segtune {version('segtune')}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `segtune {close[0]}`?" if close else "`segtune --help` lists them"
        raise SegtuneError(f"{name!r} is not a command; {hint}")
    for before, word in pairwise(words):
        if not word.strip():
            raise SegtuneError(
                f"the word after {before} is empty; is a variable of the shell not set?"
            )
    options = parser_of(name).parse_args(words[1:])
    options.command = shlex.join(["segtune", *words])
    command = import_module(f"segtune.cli.{name}")
    # Messages of the package are for the user. What transformers warns of is an error here too.
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("segtune").setLevel(logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        if not options.debug:
            warnings.simplefilter("ignore")  # they are for programmers
        return command.run(options)


def parser_of(name: str) -> Parser:
    """Returns the parser of one command; building it imports nothing heavy."""
    command = COMMANDS[name]
    examples = "\n".join(f"  {line}" for line in command.examples)
    parser = Parser(
        prog=f"segtune {name}",
        description=f"{command.help[0].upper()}{command.help[1:]}.",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(parser)
    parser.add_argument(DEBUG, action="store_true", help="show warnings, and the trace of a bug")
    return parser


def overview() -> str:
    """Returns what `segtune --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: segtune COMMAND ...",
            "",
            "Small prompts for large frozen segmentation models, and masks for any words.",
            "",
            "commands:",
            *lines,
            "",
            "`segtune COMMAND --help` shows options and examples, `segtune --version` the version.",
        ]
    )


def _say(message: str) -> None:
    print(one_line(f"segtune: {message}"), file=sys.stderr)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _bug(error: Exception, *, advice: str | None) -> str:
    """Returns what to say of an error that is no user's: what, and where in the package."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "segtune" in Path(frame.filename).parts]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    what = f"{type(error).__name__}: {one_line(str(error), longest=120)}"
    report = "; ".join(filter(None, (advice, "report it with the command")))
    return f"this is a bug of segtune{place}: {what}; {report}"


if __name__ == "__main__":
    sys.exit(main())
