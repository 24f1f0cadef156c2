import json
import subprocess
import sys

import pytest

from segtune.cli import main as main_module
from segtune.cli.commands import COMMANDS
from segtune.cli.main import parser_of
from tests.cli.conftest import Run

HEAVY = ("torch", "transformers", "numpy", "PIL", "tqdm", "rich", "yaml")


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import json, sys\n"
        "from segtune.cli.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "print(json.dumps(list(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "segtune" in done.stdout
    assert not set(HEAVY) & set(json.loads(done.stderr))


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "segtune", "segmnt"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "segtune: 'segmnt' is not a command; did you mean `segtune segment`?\n"


def test_overview_names_every_command(run: Run) -> None:
    outcome = run()
    assert outcome.status == 0
    assert all(name in outcome.out for name in COMMANDS)
    assert run("--help") == outcome


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    text = parser_of(name).format_help()
    assert f"usage: segtune {name}" in text
    assert all(example in text for example in COMMANDS[name].examples)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["unheard-of"], "'unheard-of' is not a command; `segtune --help` lists them"),
        (["segment"], "the following arguments are required: IMAGES"),
        (["fit", "x", "--out", "y", "--shots", "0"], "'0' is not a whole number from 1 on"),
        (["fit", "x", "--out", "y", "--lr", "fast"], "'fast' is not a number above 0"),
        (["fit", "x", "--out", "y", "--shots", "4", "--all"], "not allowed with argument --shots"),
        (["fit", "x", "--out", "y", "--set", "lr"], "'lr' is not of the form key=value"),
        (["segment", "x", "--vocabulary", "y"], "unrecognized arguments: --vocabulary y"),
        (["segment", "x", "--format", "gif"], "no format 'gif'; choose overlay, png"),
        (["segment", "x", "--task", "all"], "invalid choice: 'all'"),
    ],
)
def test_mistaken_options_give_one_line(run: Run, words: list[str], expected: str) -> None:
    outcome = run(*words)
    assert outcome.status == 2
    assert outcome.err.startswith("segtune: ")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError("no such thing; make one"), "segtune: no such thing; make one\n"),
        (PermissionError(13, "Permission denied", "a/b"), "segtune: a/b: Permission denied\n"),
        (OSError(28, "No space left on device"), "segtune: No space left on device\n"),
    ],
)
def test_errors_of_the_system_give_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    _let_models_raise(monkeypatch, error)
    outcome = run("models")
    assert (outcome.status, outcome.err) == (2, line)


def test_an_interrupted_fit_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_models_raise(monkeypatch, KeyboardInterrupt())
    outcome = run("models")
    assert outcome.status == 130
    assert outcome.err == "segtune: interrupted; type the same command to start again\n"
    assert "again to go on" in main_module.WHEN_INTERRUPTED["fit"]


def test_a_bug_is_reported_as_one_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_models_raise(monkeypatch, ZeroDivisionError("one\nby \x1b[2J none" + 400 * "x"))
    outcome = run("models")
    assert outcome.status == 70
    assert outcome.err.startswith("segtune: this is a bug of segtune at main.py:")
    assert "ZeroDivisionError: one by [2J none" in outcome.err
    assert "add --debug for the trace" in outcome.err
    assert (outcome.err.count("\n"), len(outcome.err) <= 301) == (1, True)
    outcome = run("models", "--debug")
    assert outcome.status == 70
    assert "in raise_it" in outcome.err


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[...] DefaultCPUAllocator: can't allocate memory: ...")]
)
def test_no_memory_is_no_bug(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _let_models_raise(monkeypatch, error)
    outcome = run("models")
    assert outcome.status == 2
    assert outcome.err.startswith("segtune: out of memory; use a smaller --size")


def _let_models_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raise_it(options: object) -> int:
        raise error

    monkeypatch.setattr("segtune.cli.models.run", raise_it)
