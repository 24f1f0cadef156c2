"""`segtune systems`: the table, and everything about one."""

import pytest

from segtune.systems import SYSTEMS
from tests.cli.conftest import Run


def test_the_table_names_all_with_what_they_learn(run: Run) -> None:
    lines = run("systems").out.splitlines()
    for name, spec in SYSTEMS.items():
        [line] = [line for line in lines if line.split()[0] == name]
        assert spec.about in line
        assert all(kind in line for kind in spec.kinds)
        assert line.endswith(spec.source)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_all_there_is_to_know_about_one_fits_the_page(run: Run, name: str) -> None:
    lines = run("systems", name).out.splitlines()
    assert lines[0] == f"{name}: {SYSTEMS[name].about}"
    assert max(map(len, lines)) <= 80
    assert ("fit:" in lines) is SYSTEMS[name].learns


def test_options_have_defaults_choices_meaning_and_source(run: Run) -> None:
    out = run("systems", "rpn").out
    assert (
        "    m2oe_rank=3  (whole number)\n        of their shared bottleneck, [P] Table 8\n" in out
    )
    assert "variant=released  (released | paper)\n        paper: m2oe=true, static_tokens=0" in out
    assert out.endswith("[P] the RPN paper; [C] its released code; [Z] ZegCLIP's code\n")
    assert "static_tokens=10 " in out  # of the variant that is the default


def test_what_only_another_model_has_stands_apart(run: Run) -> None:
    out = run("systems", "ssprompt").out
    before, _, after = out.partition("on SAM or SAM 2 also:")
    assert "class_tokens=4" not in before
    assert "class_tokens=4" in after
    assert "fusion=" not in after
    assert "held-out shots choose from rates times 1, [10, 0.1]" in " ".join(out.split())
    assert "--task semantic | instance | panoptic" in before


def test_a_name_that_is_nearly_right(run: Run) -> None:
    outcome = run("systems", "ssprompts")
    assert outcome.status == 2
    assert "'ssprompts' is not a system; did you mean ssprompt" in outcome.err
