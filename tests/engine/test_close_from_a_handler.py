"""A signal's handler closes the engine, whatever step of an upload it interrupts."""

from __future__ import annotations

import json

import pytest

from tests.engine.test_lifecycle import BEGIN
from tests.fixtures.databases import SharedDatabase

#: Each child of this process is interrupted once by SIGTERM, in the main thread. ``sys.settrace``
#: finds the place: any line of any function of ours and of the library's that the step runs, where
#: any lock may be held; line 0 is the step's wait for a thread.
INTERRUPTED = """
import signal, time
from django.db import connection
from securedrop_ftp.access.principal import principal_of
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.answers import FTPS
from securedrop_ftp.intake.service import Intake, UploadRequest
from securedrop_ftp.models import Account, Upload
from securedrop_ftp.intake.stream import UploadStream

STEP, HOW, POINTS = sys.argv[1], sys.argv[2], int(sys.argv[3])
who = principal_of(Account.objects.select_related("user", "partner").get(user__username="alice"))
connection.close()

def closes(*_):
    sys.settrace(None)
    engine.current().close()
    if HOW == "exit":
        sys.exit(0)

def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)

class Trace:
    def __init__(self, line):
        self.line, self.seen = line, 0

    def __call__(self, frame, event, arg):
        self.seen += 1
        if self.seen == self.line:
            sys.settrace(None)
            interrupt()
            return None
        return self

def upload(line, path):
    trace = Trace(line)

    def during(step, act):
        if step == STEP:
            if line == 0:
                threading.Timer(0.3, interrupt).start()
            sys.settrace(trace)
        try:
            return act()
        finally:
            sys.settrace(None)

    ours = engine.current()
    during("start", ours.start)
    request = UploadRequest(who, "s", "192.0.2.7", path, f"acme{path}", FTPS)
    with during("open", lambda: ours.open_upload(request)) as opened:
        during("write", lambda: opened.write(b"x" * 100_000))
        during("commit", opened.commit)
    return trace.seen

def slow(cls, name):
    act = getattr(cls, name)

    def slowly(*args, **kwargs):
        time.sleep(1)
        return act(*args, **kwargs)

    setattr(cls, name, slowly)

def child(line, tell):
    signal.signal(signal.SIGTERM, closes)
    if line == 0 and STEP == "open":
        slow(Intake, "begin")
    elif line == 0:
        slow(UploadStream, "_final")
    seen = 0
    try:
        seen = upload(line, f"/{line}")
    except SecureDropError as exc:
        print(exc, file=sys.stderr)
    finally:
        os.write(tell, str(seen).encode())

def run(line):
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        child(line, tell)
        sys.exit(0)
    os.close(tell)
    deadline = time.monotonic() + 40
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.01)
    return int(os.read(told, 100) or 0)

lines = run(-1)
points = [1 + n * (lines - 1) // (POINTS - 1) for n in range(POINTS)]
if STEP in ("open", "commit"):
    points.append(0)
stuck = [line for line in points if run(line) is None]
if HOW == "exit":  # raised amid a move of an upload's phase, it is as a crash there: recovery's
    import io
    from django.core.management import call_command
    call_command("uploads_recover", stdout=io.StringIO())
left = set(Upload.objects.values_list("state", flat=True))
print(json.dumps([lines, stuck, boots(), sorted(left)]))
"""


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("shared_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["exit", "return"])
@pytest.mark.parametrize("step", ["start", "open", "write", "commit"])
def test_it_ends_in_the_midst_of_any_step_and_leaves_nothing_unsettled(
    shared_database: SharedDatabase, step: str, how: str
) -> None:
    told = shared_database.run("-c", BEGIN + INTERRUPTED, step, how, "6")
    lines, stuck, boots, states = json.loads(told.splitlines()[-1])
    assert lines > 8
    assert stuck == []
    assert boots == []
    assert set(states) <= {"committed", "aborted", "suspended"}
