"""A failure in the ledger and the trail says what it is, in words that operators know."""

from __future__ import annotations

import pytest

from securedrop_ftp import replies
from securedrop_ftp.exceptions import StorageUnavailable, Truncated
from securedrop_ftp.ftps.answers import CutShort, NoDataChannel
from securedrop_ftp.intake.attempt import reason_of


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Truncated("FIN without close_notify"), "Truncated: FIN without close_notify"),
        (CutShort(replies.NO_DATA_CHANNEL, "RST"), "Truncated: RST"),
        (NoDataChannel(), replies.NO_DATA_CHANNEL.text),
        (StorageUnavailable("no answer"), "StorageUnavailable: no answer"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_a_reason_names_the_failure_but_no_class_of_a_door(
    cause: BaseException, reason: str
) -> None:
    assert reason_of(cause) == reason
