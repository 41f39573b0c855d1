"""What a user's ``run_lfadsqueue.py`` does: ``queue_program.py SPECS.json OPTIONS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import lfadsqueue as lq

if __name__ == "__main__":
    specs = json.loads(Path(sys.argv[1]).read_text())
    raise SystemExit(
        lq.run_lfads_queue("chaos", None, specs, **json.loads(sys.argv[2])).exit_status
    )
