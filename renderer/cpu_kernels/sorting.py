"""Stage 2: visible splats from near to far, by a radix sort that is exact and keeps ties in order.

A pair is the depth's 31 bits above the splat's number. Digits of at most 12 bits are sorted one after
the other, the lowest first; each pass counts digits per part of the pairs, adds up, and moves the pairs.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from renderer.cpu_kernels.frame import (
    CHUNK,
    CHUNK_ENTRIES,
    CHUNK_ROW,
    ENTRIES_BEFORE,
    FARTHEST,
    KEY_BITS,
    NEAREST,
    NEAREST_KEY,
    TOTAL_ENTRIES,
    TOTAL_VISIBLE,
    VISIBLE,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import get, put

DIGIT_BITS = 12
DIGITS = 1 << DIGIT_BITS


@part
def summarize(chunks, summary):
    """Add up the chunks: how much there is, and how many bits tell the depths apart."""
    visible, entries, nearest, farthest = 0, 0, 0x7FFFFFFF, 0
    for row in range(0, chunks.size, CHUNK_ROW):
        put(chunks, row + ENTRIES_BEFORE, entries)
        visible += get(chunks, row + VISIBLE)
        entries += get(chunks, row + CHUNK_ENTRIES)
        nearest = min(nearest, get(chunks, row + NEAREST))
        farthest = max(farthest, get(chunks, row + FARTHEST))
    bits = 1
    while visible > 0 and (farthest - nearest) >> bits:
        bits += 1
    put(summary, TOTAL_VISIBLE, visible)
    put(summary, TOTAL_ENTRIES, entries)
    put(summary, NEAREST_KEY, nearest)
    put(summary, KEY_BITS, bits)


@inlined
def count_passes(summary):
    """How often the pairs move; after an odd number they are in `Frame.spare`."""
    return (get(summary, KEY_BITS) + DIGIT_BITS - 1) // DIGIT_BITS


@inlined
def _digit_place(summary, turn):
    """Which bits of a pair pass `turn` sorts by: subtract, shift, mask."""
    passes = count_passes(summary)
    width = (get(summary, KEY_BITS) + passes - 1) // passes
    return get(summary, NEAREST_KEY) << 32, 32 + turn * width, (1 << width) - 1


@inlined
def _piece(number, share, parts, turn, frame):
    """Where piece `number` of a share begins and ends; first the chunks, later all pairs in one row."""
    if turn == 0:
        begin = number * CHUNK
        return begin, begin + get(frame.chunks, number * CHUNK_ROW + VISIBLE)
    total = get(frame.summary, TOTAL_VISIBLE)
    return total * share // parts, total * (share + 1) // parts


@inlined
def _pieces(share, parts, turn, frame):
    """The pieces of a share."""
    if turn == 0:
        chunks = frame.chunks.size // CHUNK_ROW
        return chunks * share // parts, chunks * (share + 1) // parts
    return 0, 1


@part
def count_digits(share, parts, turn, source, frame):
    """Count the digits of one share of the pairs."""
    base = share * DIGITS
    for digit in range(DIGITS):
        put(frame.digits, base + digit, 0)
    least, shift, mask = _digit_place(frame.summary, turn)
    first, last = _pieces(share, parts, turn, frame)
    for number in range(first, last):
        begin, end = _piece(number, share, parts, turn, frame)
        for i in range(begin, end):
            at = base + (((get(source, i) - least) >> shift) & mask)
            put(frame.digits, at, get(frame.digits, at) + 1)


@part
def add_up_digits(parts, frame):
    """Turn counts into where the first pair of each digit and share goes."""
    total = 0
    for digit in range(DIGITS):
        for share in range(parts):
            at = share * DIGITS + digit
            here = get(frame.digits, at)
            put(frame.digits, at, total)
            total += here


@part
def move_pairs(share, parts, turn, source, target, frame):
    """Move one share of the pairs to where their digits say."""
    base = share * DIGITS
    least, shift, mask = _digit_place(frame.summary, turn)
    first, last = _pieces(share, parts, turn, frame)
    for number in range(first, last):
        begin, end = _piece(number, share, parts, turn, frame)
        for i in range(begin, end):
            pair = get(source, i)
            at = base + (((pair - least) >> shift) & mask)
            place = get(frame.digits, at)
            put(frame.digits, at, place + 1)
            put(target, place, pair)
