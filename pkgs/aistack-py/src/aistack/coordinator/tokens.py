"""An estimate of tokens that needs no model's vocabulary."""

import re

_PIECE = re.compile(r"\w+|[^\w\s]")


def estimate(text: str) -> int:
    """The larger of a quarter of the UTF-8 bytes, rounded up, and the words and punctuation marks.

    Bytes tell prose and scripts without spaces, pieces tell code. An estimate of joined texts
    never exceeds the sum of theirs.
    """
    return max(-(-len(text.encode()) // 4), len(_PIECE.findall(text)))


def cut(text: str, most: int, mark: str) -> str | None:
    """The longest beginning that, with the mark after it, is at most so many tokens.

    Returns:
        None where the mark alone is too much.
    """
    if estimate(mark) > most:
        return None
    low, high = 0, min(len(text), 4 * most)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(text[:middle] + mark) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low] + mark
