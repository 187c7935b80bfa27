"""STOR, STOU, APPE: from the data channel into the intake, then the commit, then 226."""

from __future__ import annotations

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Cancelled, SecureDropError, SessionGone
from securedrop_ftp.ftps import missing_close_notify, texts
from securedrop_ftp.ftps.answers import FTPS, NoDataChannel, answer, stored
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.texts import TextUpload
from securedrop_ftp.ftps.transfer import UPLOAD, Transfer
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.intake.service import UploadRequest
from securedrop_ftp.intake.stream import UploadStream
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply

logger = get_logger(__name__)


def upload(
    session: LoggedIn,
    path: str,
    *,
    offset: int | None,
    append: bool,
    opening: Reply = replies.OPENING_DATA,
) -> Reply:
    """STOR, STOU, APPE: the data channel into the intake, then the commit, then 226."""
    converted = texts.converts(session)
    _require_for_upload(session, path)
    session.trail.command_has_row = True  # the intake's, whatever comes of it
    request = UploadRequest(
        principal=session.principal,
        session=session.client.session,
        remote_ip=session.client.remote_ip,
        path=path,
        key=session.fs.key(path),
        door=FTPS,
        announced=session.dialogue.said.announced,
        offset=offset,
        append=append,
        converted=converted,
    )
    transfer = session.transfer(UPLOAD, path)
    try:
        stream = _begin(session, request)
        text = texts.TextUpload(session, stream) if converted else None
        return _receive(session, transfer, stream, text, opening)
    finally:
        transfer.over()


def _require_for_upload(session: LoggedIn, path: str) -> None:
    # Nothing was begun, so the intake writes no row of it; every attempt leaves one.
    try:
        session.data.require_channel()
    except NoDataChannel as exc:
        session.trail.record_durably(
            Event(
                "upload.rejected",
                outcome="failure",
                path=path,
                reason="no data channel",
                reply=str(answer(exc)),
            )
        )
        raise


def _begin(session: LoggedIn, request: UploadRequest) -> UploadStream:
    try:
        return session.storage(session.runtime.intake.begin, request, orphan=_abandon)
    except SecureDropError:
        session.trail.pace_refused_uploads()
        raise


def _abandon(stream: UploadStream) -> None:
    stream.cancel(Cancelled("the session closed"))


def _receive(
    session: LoggedIn,
    transfer: Transfer,
    stream: UploadStream,
    text: TextUpload | None,
    opening: Reply,
) -> Reply:
    try:
        transfer.narrow = stream.narrow
        # It may have changed since the upload was admitted.
        stream.narrow(session.principal.max_file_size)
        session.reply(opening)
        channel = transfer.open()
        whole = stream.attempt.joined_at is None
        judge_fin = missing_close_notify.judge(session, whole=whole)
        session.offload.wait(channel.receive_all(text or stream, judge_fin))
        transfer.moving = False
        sent = _rest_of(transfer, text) if text is not None else None
        transfer.on_cancel = stream.cancel
        finished = stream.finish(sent)
        if transfer.cancelled is not None:
            stream.cancel(transfer.cancelled)
        receipt = session.offload.outcome(finished)
    except SessionGone:
        stream.cancel(Cancelled(transfer.gone))
        raise
    except SecureDropError as exc:
        return _end_badly(session, transfer, stream, exc)
    except BaseException as exc:
        logger.exception("upload.internal_error")
        stream.cancel(Cancelled(f"{type(exc).__name__}"))
        raise
    finally:
        if text is not None:
            text.close()
    return stored(receipt)


def _end_badly(
    session: LoggedIn, transfer: Transfer, stream: UploadStream, error: SecureDropError
) -> Reply:
    """Nothing is published; the reply waits for the row that says so."""
    if transfer.channel is not None:
        transfer.channel.reset()
    session.offload.outcome(stream.cancel(error))
    return answer(error)


def _rest_of(transfer: Transfer, text: TextUpload) -> Sent:
    """What came last is still being converted when the data channel has ended."""
    transfer.on_cancel = text.cancel
    if transfer.cancelled is not None:
        raise transfer.cancelled
    return text.rest()
