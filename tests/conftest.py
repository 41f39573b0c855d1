"""What all tests share."""

import os

from hypothesis import settings

# A busy machine is no fault of the code; and a check of a change should fail because of the change.
settings.register_profile("lfadsq", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("lfadsq")
