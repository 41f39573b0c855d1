"""Which keys do what: for the line at the bottom, and for the help."""

from __future__ import annotations

from lfadsq.watching.live.lines import Line, Span, clipped

__all__ = ["BOARD_KEYS", "HELP", "PAGER_KEYS", "Keys", "key_line"]

Keys = tuple[tuple[str, str], ...]

BOARD_KEYS: Keys = (
    ("l", "log"),
    ("e", "explain"),
    ("c", "cancel"),
    ("r", "retry"),
    ("/", "find"),
    ("f", "filter"),
    ("s", "sort"),
    ("g", "GPUs"),
    ("?", "help"),
    ("q", "quit"),
)
PAGER_KEYS: Keys = (("up/down/PgUp/PgDn", "scroll"), ("End", "to the end"), ("q", "back"))

HELP = """\
The list
  up, down, j, k   pick a run; PgUp, PgDn, Home and End go further
  s                sort by the next of: state, name, cost, time left, epoch
  S                turn the order around
  f                only runs in one state; then the next state; then all again
  /                only runs with these words in name, state, cause, place or
                   differing hyperparameters (gen_dim=64); Enter ends typing
  Esc              all runs again

The run that is picked
  l, Enter         its log, as it grows
  e                why it waits or failed, what was tried, what to do
  c                cancel it (asks first): it ends with a checkpoint
  r                try it again if it failed or was cancelled, from its last
                   checkpoint

Everything
  g                all GPUs, and whose processes are on them
  u                look at all runs anew, now
  ?                this page
  q, Ctrl-C        quit; nothing that trains is disturbed
  Ctrl-Z           back to the shell for a while (`fg` comes back)

What is shown
  The bar is the time a training has taken, of that and what is estimated to be
  left. "<40%" is 40 % at most, ">2h03m" at least that long: then the estimate
  is a lower bound. The course is that of the validation cost over the last
  epochs, its lowest at the bottom; "!" is a cost that is not a number.
  GPUs of this machine are measured at each look. Those of other machines are as
  their queue said last, some 15 s ago at most. "GB" is memory taken of all,
  "W" power of its limit; "-" is what a GPU does not tell.
  Runs at work, and what queues say, are looked at each time; all run folders
  only so often that it takes 2 % of the time.
"""


def key_line(keys: Keys, width: int, rest: str = "") -> Line:
    """Write what keys do, and something at the right if there is room.

    Parameters
    ----------
    keys : tuple of (str, str)
        Each key, and what it does; where there is no room, the last two and as many others as fit.
    width : int
        Of the terminal [columns].
    rest : str, optional
    """
    most = len(keys)
    while most > 2 and sum(len(f"{key}:{what} ") for key, what in keys) - 1 > width:
        keys, most = (*keys[:-3], *keys[-2:]), most - 1
    spans = [
        span
        for number, (key, what) in enumerate(keys)
        for span in (Span(f"{' ' if number else ''}{key}", "strong"), Span(f":{what}"))
    ]
    taken = sum(len(span.text) for span in spans)
    if rest and taken + len(rest) + 2 <= width:
        spans.append(Span(f"{'':{width - taken - len(rest)}}{rest}"))
    return clipped(spans, width)
