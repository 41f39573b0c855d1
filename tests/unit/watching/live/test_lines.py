"""Lines that fit a terminal whatever names hold, and small pictures of numbers."""

from __future__ import annotations

import math
import re
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from lfadsq.watching.live.glyphs import ASCII, BLOCKS, bar, sparkline
from lfadsq.watching.live.lines import (
    Span,
    clipped,
    cut_middle,
    fitted,
    plain,
    shown,
    width_of,
)

_DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["C", "M", "Z"])
)


@given(st.text(st.characters(codec=None, exclude_categories=[])))
@example("\x1b]0;title\x07\x9b31m\u202eabc\r\n\udcff")
def test_what_is_shown_does_nothing_to_a_terminal(text: str) -> None:
    told = shown(text)
    assert not _DANGEROUS.search(told)
    told.encode("utf-8")


@given(_PRINTABLE, st.integers(0, 60), st.booleans())
@example("日本語のラン", 5, False)
def test_what_is_fitted_has_exactly_so_many_columns(text: str, width: int, to_right: bool) -> None:
    told = fitted(text, width, to_right=to_right)
    assert width_of(told) == width
    if width_of(text) <= width:
        assert told.strip() == text.strip()


@given(_PRINTABLE, st.integers(0, 60))
def test_what_is_cut_keeps_both_ends(text: str, width: int) -> None:
    told = cut_middle(text, width)
    assert width_of(told) <= width
    if width_of(text) > width >= 9 and text.isascii():
        assert (told[:2], told[-2:]) == (text[:2], text[-2:])


@given(st.lists(_PRINTABLE), st.integers(0, 60))
def test_a_line_never_goes_over_the_edge(texts: list[str], width: int) -> None:
    line = clipped([Span(text) for text in texts], width)
    assert width_of(plain(line)) <= width
    assert "".join(texts).startswith(plain(line))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300), st.integers(0, 40))
@example([sys.float_info.max] * 3, 1)
@example([sys.float_info.max, -sys.float_info.max], 2)
def test_a_course_has_a_sign_for_each_column(values: list[float], width: int) -> None:
    told = sparkline(values, width)
    assert len(told) == min(width, len(values))
    assert set(told) <= {*BLOCKS.levels, BLOCKS.unknown}
    assert sparkline(values, width, ASCII).isascii()
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) == len(values) <= width and len(set(finite)) > 1:
        assert told[values.index(min(values))] == BLOCKS.levels[0]
        assert told[values.index(max(values))] == BLOCKS.levels[-1]


@given(st.floats(0, 1), st.integers(2, 30))
def test_a_bar_is_full_only_at_the_end(fraction: float, width: int) -> None:
    told = bar(fraction, width, ASCII)
    assert len(told) == width
    assert (told == ASCII.full * width) == (fraction == 1)
    assert (told == ASCII.empty * width) == (fraction == 0)
    assert abs(told.count(ASCII.full) - fraction * width) <= 1
