"""``lfadsq compare``: the table, what programs read, the files it writes, what it refuses."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import click
import pytest
from click.testing import CliRunner

from lfadsq.cli.boundary import run_command
from lfadsq.cli.main import lfadsq
from lfadsq.watching import sweep_reading

from .sweep_files import make_sweep, write_all


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def in_boundary(words: tuple[str, ...]) -> None:
    run_command(lfadsq, list(words))


def call(*words: object):
    """Call it as the installed command does."""
    return CliRunner().invoke(in_boundary, ["compare", *map(str, words)])


def said(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    collection = make_sweep(
        tmp_path_factory.mktemp("verb"), [{"c_gen_dim": dim} for dim in (16, 32, 64)]
    )
    for run, share in zip(collection.runs, (1.0, 0.5, 0.7), strict=True):
        write_all(
            run,
            100 - 10 * share,
            lambda true, counts, share=share: share * true + (1 - share) * true.mean(axis=(0, 1)),
        )
    collection.write_run_queue_script()
    return collection


def test_the_table(sweep):
    lines = said(sweep.path).splitlines()
    assert lines[0] == "sweep: 3 runs, by valid_cost: lowest validation cost [nats/trial]"
    head, *rows = lines[2:6]
    assert head.split() == [
        "run", "c_gen_dim", "cost", "bound", "recon", "KL", "gap", "bits/sp", "bitgap", "PSTH",
        "R2", "log", "R2", "follow", "epochs", "time", "mem", "MB",
    ]  # fmt: skip
    assert [row.split()[:4] for row in rows] == [
        [str(rank), run.params.param_hash_string, str(run.params.c_gen_dim), cost]
        for rank, run, cost in zip(
            (1, 2, 3),
            [sweep.runs[at] for at in (0, 2, 1)],
            ("90.00", "93.00", "95.00"),
            strict=True,
        )
    ]
    assert rows[0].split()[-3:] == ["3", "30s", "500"]


def test_json_is_for_programs(sweep):
    told = json.loads(said(sweep.path, "--json", "--by", "truth_r2"))
    assert told["schema_version"] == 1
    assert told["rule"] == "truth_r2"
    assert told["varying"] == ["c_gen_dim"]
    best = sweep.runs[0]
    assert told["best"] == [f"{best.params.param_hash_string}/{best.name}"]
    first = told["runs"][0]
    assert (first["rank"], first["c_gen_dim"], first["truth_r2"]) == (1, 16, pytest.approx(1))
    assert first["co_bits_per_spike"] is None
    assert set(told["columns"]) <= set(first)


def test_order_and_choice_of_runs(sweep):
    by_dim = json.loads(said(sweep.path, "--json", "--quick", "--sort", "c_gen_dim", "--reverse"))
    assert [run["c_gen_dim"] for run in by_dim["runs"]] == [64, 32, 16]
    assert by_dim["runs"][0]["bits_per_spike"] is None
    hashes = [run.params.param_hash for run in sweep.runs]
    one = json.loads(said(sweep.path, hashes[1], "--quick", "--json"))
    assert [run["run"] for run in one["runs"]] == [f"param_{hashes[1]}/single_ds1"]
    two = json.loads(said(sweep.runs[0].path, sweep.runs[2].path, "--quick", "--json"))
    assert len(two["runs"]) == 2


def test_files(sweep, tmp_path):
    table, picture = tmp_path / "sweep.csv", tmp_path / "sweep.png"
    output = said(sweep.path, "--quick", "--csv", table, "--plot", picture)
    assert f"wrote {table}" in output
    with table.open(newline="") as file:
        assert [float(row["valid_cost"]) for row in csv.DictReader(file)] == [90, 93, 95]
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(said(sweep.path, "--quick", "--json", "--csv", table))
    assert told["runs"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--by", "cost"], 1, "there is no rule 'cost'"),
        (["--sort", "colour"], 1, "there is no column 'colour'"),
        (["--plot", "sweep.xls"], 2, "let the name end with .png"),
        (["--csv", "/nowhere/sweep.csv"], 2, "there is no folder /nowhere"),
        (["run999"], 1, "run999"),
    ],
)
def test_what_cannot_be_is_refused_at_once(sweep, words, status, message, monkeypatch):
    scored = []
    monkeypatch.setattr(sweep_reading, "score_posterior_means", lambda *a, **k: scored.append(a))
    result = call(sweep.path, *words)
    assert result.exit_code == status
    assert message in result.stderr
    assert not scored  # which may take minutes


def test_without_a_collection(tmp_path):
    result = call(tmp_path)
    assert result.exit_code == 1
    assert "is in no collection" in result.stderr


def test_on_a_terminal_of_80_columns(sweep):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "lfadsq", "compare", str(sweep.path), "--quick"],
        stdin=follower,
        stdout=follower,
        env=environment,
    ):
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # how a terminal says that nobody writes any more
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(leader)
    text = b"".join(chunks).decode()
    assert "\x1b[3" not in text
    lines = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert 0 < len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("1  param_") for line in lines)


def test_help_and_quick_need_neither_pandas_nor_matplotlib(sweep):
    program = (
        "import sys; from lfadsq.cli.main import lfadsq\n"
        "lfadsq.main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'pandas', 'matplotlib', 'xarray', 'tensorflow'} & set(sys.modules)))"
    )
    for words in (["--help"], [str(sweep.path), "--quick"]):
        done = subprocess.run(
            [sys.executable, "-c", program, "compare", *words],
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"
