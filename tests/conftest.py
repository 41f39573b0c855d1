"""What all tests share."""

import os
import signal

from hypothesis import settings

# A busy machine is no fault of the code; and a check of a change should fail because of the change.
settings.register_profile("lfadsq", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("lfadsq")

# Shells let what they run in the background ignore Ctrl-C, and nohup the end of the terminal. Tests
# send these signals to programs that inherit it and would rightly ignore them too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: a good part of the tests waits for processes, not for a core."""
    return len(os.sched_getaffinity(0)) + 1
