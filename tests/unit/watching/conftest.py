"""GPUs and queues as the tests of the queue have them."""

from __future__ import annotations

from ..queue.conftest import _no_gpu as _no_gpu
from ..queue.conftest import gpus as gpus
from ..queue.conftest import nvml_library as nvml_library
from ..queue.conftest import start_queue as start_queue
