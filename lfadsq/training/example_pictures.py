"""Pictures of example trials in TensorBoard, as a training goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from lfadsq.training.example_trials import ExampleTrial
from lfadsq.training.logs import EventLog
from lfadsq.training.rendering import PictureRenderer
from lfadsq.training.steps import Steps

__all__ = ["ExamplePictures"]

_LONGEST_WAIT_S = 10.0
_SHARE_OF_TRAINING = 0.05


class ExamplePictures:
    """Evaluates example trials and has them drawn.

    Parameters
    ----------
    examples : sequence of ExampleTrial
        Of the model's first dataset.
    steps : Steps
    num_samples : int
        Samples of the posterior to average; that of trials in a validation batch costs least.
    events : EventLog
        Where the pictures go.
    """

    def __init__(
        self,
        examples: Sequence[ExampleTrial],
        steps: Steps,
        num_samples: int,
        events: EventLog,
    ) -> None:
        self._examples = examples
        self._steps = steps
        self._num_samples = num_samples
        self._events = events
        self._renderer = PictureRenderer()
        self._begun_at_s = time.monotonic()

    def show(self, epoch: int, step: int) -> None:
        """Have every example drawn as the model sees it after an epoch, counted from 0.

        It takes one validation batch for each; drawing goes on in the background.
        """
        for example in self._examples:
            inferred = self._steps.posterior_means(0, example.trial, self._num_samples)
            deliver = partial(self._events.image, step, example.tag)
            self._renderer.submit(example.tag, example.picture(inferred, epoch), deliver)

    def wait(self) -> None:
        """Let the last pictures be drawn, as long as nobody minds.

        That is a twentieth of what the training took, and 10 s at most.
        """
        trained_s = time.monotonic() - self._begun_at_s
        self._renderer.wait(min(_LONGEST_WAIT_S, _SHARE_OF_TRAINING * trained_s))

    def close(self) -> None:
        """End the drawing at once; what is not drawn yet is left out."""
        self._renderer.close()
