"""WAL segments by their names: which are missing. pgBackRest's own verify does not tell of gaps."""

from collections.abc import Iterable, Sequence

from aistack.backup.model import Physical

SEGMENT_BYTES = 16 * 1024 * 1024
_LOG_BYTES = 2**32


def missing(
    segments: Iterable[str],
    backups: Sequence[Physical],
    since: str | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> list[str]:
    """What is wanting for these backups, in words; empty: nothing.

    Args:
        segments: names that the repository holds, as in 000000010000000000000003.
        backups: that must be whole.
        since: label of the backup from which on every second must be reached.
        segment_bytes: wal_segment_size of the server.
    """
    held = {_number(name, segment_bytes) for name in segments}
    wanting = []
    for one in backups:
        first, last = _number(one.first_wal, segment_bytes), _number(one.last_wal, segment_bytes)
        gone = [n for n in range(first, last + 1) if n not in held]
        if gone:
            wanting.append(f"backup {one.label} lacks {len(gone)} WAL segments of its own")
    start = next((one for one in backups if one.label == since), None)
    if start is not None and held:
        first = _number(start.first_wal, segment_bytes)
        gone = [n for n in range(first, max(held) + 1) if n not in held]
        if gone:
            wanting.append(
                f"{len(gone)} WAL segments since backup {start.label} are missing, the first is"
                f" {_name(gone[0], segment_bytes)}: what came after it cannot be reached from there"
            )
    return wanting


def goes_on(segments: Iterable[str], last: str) -> bool:
    """Whether the segment after one is there, on whichever time line and of whatever size."""
    held = {_place(name) for name in segments}
    log, low = _place(last)
    if (log, low + 1) in held:
        return True
    # The last of a log is one less than a power of two.
    whole = low & (low + 1) == 0 and not any(one == log and other > low for one, other in held)
    return whole and (log + 1, 0) in held


def goes_on_later(segments: Iterable[str], last: str) -> bool:
    """Whether any segment after one is there."""
    return any(_place(name) > _place(last) for name in segments)


def _place(name: str) -> tuple[int, int]:
    return int(name[8:16], 16), int(name[16:24], 16)


def _number(name: str, segment_bytes: int) -> int:
    """Position on the time line, whichever: a restore begins a new one where it ended."""
    log, low = _place(name)
    return log * (_LOG_BYTES // segment_bytes) + low


def _name(number: int, segment_bytes: int) -> str:
    log, segment = divmod(number, _LOG_BYTES // segment_bytes)
    return f"{log:08X}{segment:08X}"
