"""What a client asks the intake for."""

from __future__ import annotations

from dataclasses import dataclass

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.intake.door import Door


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What a client asks for.

    Attributes:
        path, key: the resolved path as the client sees it, and its object key.
        door: words the outcome for the audit rows.
        announced: bytes that the client said will come.
        offset: where the client goes on. With ``append`` it is the length that the client was last
            told; ``None``: it asked for none.
        append: go on wherever the suspended upload ends.
        converted: what is stored is made from what comes, its line ends are not the same: it begins
            at the first byte, and is not gone on with once it is interrupted.
    """

    principal: Principal
    session: str
    remote_ip: str
    path: str
    key: str
    door: Door
    announced: int | None = None
    offset: int | None = None
    append: bool = False
    converted: bool = False

    @property
    def goes_on(self) -> bool:
        """The client means to go on with what it sent before, if there is any of it."""
        return self.append or bool(self.offset)

    @property
    def least(self) -> int | None:
        """Bytes that will be stored at least, where that is known: converted ones can be half of
        what was announced (lines that are all empty)."""
        if self.announced is None or not self.converted:
            return self.announced
        return -(-self.announced // 2)
