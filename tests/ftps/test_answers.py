"""The doors translate: a plain tree of exceptions below, one table of replies in this one."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

import pytest

from securedrop_ftp import exceptions, replies
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.answers import ANSWERS, CutShort, Denied, NoDataChannel, Stopped, answer
from securedrop_ftp.replies import Reply

TREE = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, BaseException) and kind.__module__ == exceptions.__name__
]
PLAIN = [kind for kind in TREE if issubclass(kind, SecureDropError)]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_each_exception_has_an_answer_of_its_own(kind: type[SecureDropError]) -> None:
    assert kind in ANSWERS
    told = answer(kind())
    assert told.is_error
    assert told.text


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_exception_says_what_happened_and_what_to_do(kind: type[BaseException]) -> None:
    text = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    assert len(re.split(r"[.:;,] ", text)) > 1, "one sentence alone names no mend"


def test_the_tree_is_printed_as_it_is() -> None:
    tree = "\n".join(["SecureDropError", *_drawn(SecureDropError)])
    assert textwrap.indent(tree, "    ") in (exceptions.__doc__ or "")


def _drawn(kind: type[BaseException], indent: str = "") -> Iterator[str]:
    children = sorted((each for each in kind.__subclasses__() if each in TREE), key=_place)
    for child in children:
        last = child is children[-1]
        yield f"{indent}{'└── ' if last else '├── '}{child.__name__}"
        yield from _drawn(child, indent + ("    " if last else "│   "))


def _place(kind: type[BaseException]) -> int:
    return inspect.getsourcelines(kind)[1]


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (exceptions.BadName(), replies.BAD_NAME),
        (exceptions.BadName("No."), replies.BAD_NAME.but("No.")),
        (exceptions.TooLarge(limit=7), replies.TOO_LARGE.but("The file is larger than 7 bytes.")),
        (exceptions.UploadBusy(), replies.BUSY),
        (exceptions.BadOffset(), replies.BAD_OFFSET),
        (
            exceptions.BadOffset(durable=0),
            replies.BAD_OFFSET.but("There is nothing to go on with; send the file whole."),
        ),
        (
            exceptions.BadOffset(durable=7),
            replies.BAD_OFFSET.but("Restart at 7: that is what is stored of this upload."),
        ),
        (NoDataChannel(), replies.NO_DATA_CHANNEL),
        (NoDataChannel(replies.PROT_REQUIRED), replies.PROT_REQUIRED),
        (CutShort(replies.DOWNLOAD_ABORTED, "reset"), replies.DOWNLOAD_ABORTED),
        (Stopped(replies.DOWNLOAD_ABORTED, "ABOR"), replies.DOWNLOAD_ABORTED),
        (Denied(replies.NO_PERMISSION), replies.NO_PERMISSION),
        (ZeroDivisionError(), replies.LOCAL_ERROR),
    ],
)
def test_an_exception_is_told_in_these_words(error: BaseException, reply: Reply) -> None:
    assert answer(error) == reply
    assert answer(error).cause is reply.cause


def test_a_row_names_the_plain_class_of_a_doors_own_exception() -> None:
    assert CutShort(replies.TRANSFER_ABORTED, "stalled").kind == "Truncated"
    assert exceptions.StorageLost().kind == "StorageLost"
