"""What every backend checks of a list of parts before it publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from securedrop_ftp.exceptions import VerificationFailed
from securedrop_ftp.storage.protocol import Capabilities, Part


def check_parts(parts: Sequence[Part], size: int) -> list[Part]:
    """The parts by number. They must start at 0, follow each other without a gap and add up to
    ``size``, or nothing is published.

    Raises:
        VerificationFailed: they do not.
    """
    ordered = sorted(parts, key=lambda part: part.number)
    offset = 0
    for number, part in enumerate(ordered, start=1):
        if part.number != number or part.offset != offset:
            raise VerificationFailed(f"Part {number} is missing or does not follow the one before.")
        offset += part.size
    if offset != size:
        raise VerificationFailed(f"The parts add up to {offset} bytes; {size} were received.")
    return ordered


def holds(held: Sequence[Part] | None, recorded: Sequence[Part], caps: Capabilities) -> bool:
    """Whether storage still has the ``recorded`` parts, by what ``list_parts`` told. A storage of
    serial parts knows only how many bytes it has."""
    if held is None:
        return False
    if caps.serial_parts:
        return sum(part.size for part in held) >= sum(part.size for part in recorded)
    there = {part.number: part.size for part in held}
    return all(there.get(part.number) == part.size for part in recorded)
