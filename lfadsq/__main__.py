"""``python -m lfadsq``: the same as the command ``lfadsq``."""

from lfadsq.cli.main import main

main()
