"""The one screen that the demo prints."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from securedrop_ftp.project.demo.preparation import ACCOUNT, ADMIN, PARTNER, Passwords

_SCREEN = """
securedrop_ftp demo, on this machine only. Ctrl-C stops everything.

  FTPS     ftp://{ftps}  (explicit TLS)      user {account}   password {account_password}
  Admin    https://{web}/admin/               user {admin}  password {admin_password}
  CA       {ca}  (the browser will not know it, and ask)
  Storage  {storage}  (the demo partner's files lie under demo/)
  Data     {data_dir}  (logs in log/)

From another shell, upload a file:

  {curl}

Upload a tree, and look at it:

  {lftp}

Ask as an operator how the partner's sessions went (any command works so):

  {doctor}

Then see the upload and its audit rows in the admin site.
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """What there is to show. Addresses are ``host:port``."""

    ftps: str
    web: str
    ca: Path
    data_dir: Path
    storage: str
    passwords: Passwords
    sample_file: Path
    sample_tree: Path
    environment: Path

    def screen(self) -> str:
        """The text; its lines work as they stand, from any directory."""
        return _SCREEN.format(
            ftps=self.ftps,
            web=self.web,
            account=ACCOUNT,
            account_password=self.passwords.account,
            admin=ADMIN,
            admin_password=self.passwords.admin,
            ca=self.ca,
            storage=self.storage,
            data_dir=self.data_dir,
            curl=self.curl(),
            lftp=self.lftp(),
            doctor=self.doctor(),
        )

    def curl(self) -> str:
        """A line that uploads the sample file."""
        return shlex.join(
            [
                *("curl", "--ssl-reqd", "--cacert", str(self.ca)),
                *("--user", f"{ACCOUNT}:{self.passwords.account}"),
                *("--upload-file", str(self.sample_file), f"ftp://{self.ftps}/"),
            ]
        )

    def lftp(self) -> str:
        """A line that uploads the sample tree and lists it."""
        commands = [
            "set ftp:ssl-force true",
            "set ftp:ssl-protect-data true",
            f"set ssl:ca-file {_quoted(self.ca)}",
            f"open -u {ACCOUNT},{self.passwords.account} ftp://{self.ftps}",
            f"mirror -R {_quoted(self.sample_tree)} {self.sample_tree.name}",
            f"ls {self.sample_tree.name}",
        ]
        return shlex.join(["lftp", "-c", "; ".join(commands)])

    def doctor(self) -> str:
        """A line that runs an operator's command with the demo's settings."""
        command = [sys.executable, "-m", "securedrop_ftp.project.cli"]
        doctor = shlex.join([*command, "doctor", "--partner", PARTNER])
        return f"(. {shlex.quote(str(self.environment))}; {doctor})"


def _quoted(path: Path) -> str:
    # lftp's own quoting, inside the shell's.
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
