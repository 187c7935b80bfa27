"""A peer: Debian's proftpd, one process per session, with an account of a password file over TLS.

Debian's FTP servers exclude each other, so its packages are unpacked beside the installed one
(``.ci/packages bench``).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from securedrop_ftp.project.demo.children import Child
from tests.bench.pureftpd import NOBODY, PASSIVE, PASSWORD, USERNAME
from tests.bench.server import Server
from tests.fixtures.processes import accepts, free_port, wait_until

UNPACKED: Final = Path("/var/cache/securedrop_ftp-bench/proftpd")
PROGRAM: Final = UNPACKED / "usr/sbin/proftpd"

CONFIGURATION: Final = """\
ModulePath {unpacked}/usr/lib/proftpd
LoadModule mod_tls.c
LoadModule mod_tls_shmcache.c
ServerType standalone
ServerName bench
DefaultAddress 127.0.0.1
Port {port}
SocketBindTight on
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
PassivePorts {low} {high}
MaxInstances 1000
AuthUserFile {directory}/accounts
AuthOrder mod_auth_file.c
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {directory}/log
PidFile {directory}/pid
ScoreboardFile {directory}/scoreboard
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {certificates}/server.pem
TLSECCertificateKeyFile {certificates}/server.key
TLSSessionCache shm:/file={directory}/sessions
"""


def missing() -> str:
    """Why the peer cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "proftpd needs root"
    if not PROGRAM.exists():
        return "proftpd is not unpacked (as root on Debian: .ci/packages bench)"
    return ""


@contextmanager
def proftpd(directory: Path, certificates: Path) -> Iterator[Server]:
    """A running server. Its account's hash is MD5-crypt: hashing does not count in logins."""
    directory.mkdir()
    home = directory / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    # After the login it enters the account's directory as that account.
    for above in (directory, directory.parent):
        above.chmod(0o755)
    hashed = subprocess.run(
        ["openssl", "passwd", "-1", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    accounts = directory / "accounts"
    accounts.write_text(f"{USERNAME}:{hashed}:{NOBODY}:{NOBODY}::{home}:/bin/false\n")
    accounts.chmod(0o600)
    port = free_port()
    configuration = directory / "configuration"
    configuration.write_text(
        CONFIGURATION.format(
            unpacked=UNPACKED,
            port=port,
            low=PASSIVE[0],
            high=PASSIVE[1],
            directory=directory,
            certificates=certificates,
        )
    )
    argv = [str(PROGRAM), "--nodaemon", "--config", str(configuration)]
    child = Child("proftpd", argv, env=os.environ, output=directory, cwd=directory)
    try:
        wait_until(lambda: accepts(port), "proftpd", child)
        yield Server("proftpd", port, USERNAME, PASSWORD, home, child.pid, owner=NOBODY)
    finally:
        child.stop(5)
