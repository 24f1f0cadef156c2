from pathlib import Path

from segtune.train.step_log import cut_log, has_diverged, log_divergence, log_step


def test_lines_have_six_digits_and_whole_rates(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log.jsonl"
    log_step(log, 1, {"lr": 1e-9, "loss": 0.123456789, "count": 3})
    assert log.read_text() == '{"step": 1, "lr": 1e-09, "loss": 0.123457, "count": 3}\n'


def test_it_is_cut_to_the_steps_that_count(tmp_path: Path) -> None:
    """Whatever the lines say: earlier versions numbered some logs from 0 on."""
    log = tmp_path / "log.jsonl"
    for step in range(5):
        log_step(log, step, {})
    with log.open("a") as file:
        file.write('{"step": 5, "lo')  # killed here
    cut_log(log, 5)
    assert len(log.read_text().splitlines()) == 5
    cut_log(log, 2)
    assert log.read_text() == '{"step": 0}\n{"step": 1}\n'
    cut_log(log, 0)
    assert log.read_text() == ""
    cut_log(tmp_path / "none.jsonl", 3)
    assert not (tmp_path / "none.jsonl").exists()


def test_only_the_last_line_says_that_a_run_diverged(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert not has_diverged(log)
    log_step(log, 1, {"loss": 2.0})
    assert not has_diverged(log)
    log_divergence(log, 2, "the loss became nan")
    assert has_diverged(log)
    log_step(log, 2, {"loss": 1.0})
    assert not has_diverged(log)
    log.write_text("no JSON\n")
    assert not has_diverged(log)
