"""What README.md says can be typed works, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_drive_script_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, *_ = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(first, "README.md", "exec"), {})
    assert "5 runs total" in capsys.readouterr().out
    (queue_script,) = tmp_path.glob("lorenz_example/runs/exampleSingleRun/run_lfadsqueue.py")
    assert f"python {queue_script.relative_to(tmp_path)}" in README


def test_links_lead_somewhere():
    for page in [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]:
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        missing = [target for target in targets if not (page.parent / target).exists()]
        assert not missing, f"{page.name} links to {missing}"


def test_every_verb_of_the_table_exists():
    from lfadsq.cli.main import lfadsq

    verbs = set(re.findall(r"\| `lfadsq (\w+)", README))
    assert verbs == set(lfadsq.list_commands(None))
