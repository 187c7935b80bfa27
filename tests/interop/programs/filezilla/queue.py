"""FileZilla under Xvfb: queue.py VERB ARGUMENT...

A person puts files into the queue and chooses *Process Queue*. Here the queue is written as
FileZilla keeps it, FileZilla is started, and Ctrl+P is pressed. What it did is in its message log.
"""

import ftplib
import os
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = os.environ["FTPS_HOST"]
PORT = os.environ["FTPS_PORT"]
EXPLICIT_TLS, NORMAL_LOGON, DOWNLOAD, ASCII = 4, 1, 0x10, 0x8000
DEADLINE = 100

SETTINGS = {
    "Greeting version": "99.0.0",  # no window that greets
    "Number of Transfers": "1",
    "File exists action upload": "5",  # resume
    "Reconnect count": "0",
    "Timeout": "20",
}


def filezilla(files, settings, flags):
    """Transfer ``(local, remote)`` pairs; the message log."""
    with tempfile.TemporaryDirectory() as home:
        configuration = Path(home, ".config", "filezilla")
        configuration.mkdir(parents=True)
        log = Path(home, "log")
        write_settings(configuration, SETTINGS | settings | {"Logging file": str(log)})
        write_trust(configuration)
        write_queue(configuration, files, flags)
        here = {"HOME": home, "XDG_CONFIG_HOME": f"{home}/.config"}
        subprocess.run(
            ["xvfb-run", "--auto-servernum", sys.executable, __file__, "run", log, str(len(files))],
            env=os.environ | here,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return log.read_text(errors="replace") if log.exists() else "FileZilla wrote no log"


def write_settings(configuration, settings):
    lines = [f'<Setting name="{name}">{value}</Setting>' for name, value in settings.items()]
    (configuration / "filezilla.xml").write_text(
        f"<FileZilla3><Settings>{''.join(lines)}</Settings></FileZilla3>"
    )


def write_trust(configuration):
    """What *Always trust this certificate* writes."""
    with ftplib.FTP_TLS(context=ssl.create_default_context()) as ftp:
        ftp.connect(HOST, int(PORT))
        ftp.auth()
        certificate = ftp.sock.getpeercert(binary_form=True)
    (configuration / "trustedcerts.xml").write_text(
        f"<FileZilla3><TrustedCerts><Certificate><Data>{certificate.hex()}</Data>"
        "<ActivationTime>1</ActivationTime><ExpirationTime>4000000000</ExpirationTime>"
        f"<Host>{HOST}</Host><Port>{PORT}</Port><TrustSANs>0</TrustSANs>"
        "</Certificate></TrustedCerts></FileZilla3>"
    )


SCHEMA = """
CREATE TABLE servers (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, host TEXT NOT NULL,
  port INTEGER, user TEXT, password TEXT, account TEXT, keyfile TEXT, protocol INTEGER,
  type INTEGER, logontype INTEGER, timezone_offset INTEGER, transfer_mode TEXT,
  max_connections INTEGER, encoding TEXT, bypass_proxy INTEGER, post_login_commands TEXT,
  name TEXT, parameters TEXT, site_path TEXT DEFAULT NULL);
CREATE TABLE files (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, server INTEGER NOT NULL,
  source_file TEXT, target_file TEXT, local_path INTEGER, remote_path INTEGER, size INTEGER,
  error_count INTEGER, priority INTEGER, flags INTEGER, default_exists_action INTEGER,
  extra_flags TEXT);
CREATE TABLE local_paths (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, path TEXT NOT NULL);
CREATE TABLE remote_paths (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, path TEXT NOT NULL);
"""


def write_queue(configuration, files, flags):
    database = sqlite3.connect(configuration / "queue.sqlite3")
    database.executescript(SCHEMA)
    database.execute(
        "INSERT INTO servers (host, port, user, password, protocol, type, logontype, transfer_mode,"
        " encoding) VALUES (?, ?, ?, ?, ?, 0, ?, 'MODE_PASSIVE', 'Auto')",
        (
            HOST,
            PORT,
            os.environ["FTPS_USER"],
            os.environ["FTPS_PASSWORD"],
            EXPLICIT_TLS,
            NORMAL_LOGON,
        ),
    )
    for number, (local, remote) in enumerate(files, 1):
        here, there = os.path.split(local), os.path.split(remote)
        database.execute("INSERT INTO local_paths (path) VALUES (?)", (here[0] + "/",))
        segments = [part for part in there[0].split("/") if part]
        path = "1 0 " + " ".join(f"{len(part)} {part}" for part in segments)
        database.execute("INSERT INTO remote_paths (path) VALUES (?)", (path,))
        source, target = (there[1], here[1]) if flags & DOWNLOAD else (here[1], there[1])
        size = -1 if flags & DOWNLOAD else os.path.getsize(local)
        database.execute(
            "INSERT INTO files (server, source_file, target_file, local_path, remote_path, size,"
            " error_count, priority, flags, default_exists_action) VALUES (1,?,?,?,?,?,0,2,?,-1)",
            (source, target, number, number, size, flags),
        )
    database.commit()
    database.close()


def run(log, files):
    """Inside the display: FileZilla, and the key."""
    program = subprocess.Popen(["filezilla"])
    deadline = time.monotonic() + DEADLINE
    pressed = 0.0
    while time.monotonic() < deadline and program.poll() is None:
        text = log.read_text(errors="replace") if log.exists() else ""
        done = text.count("File transfer successful") + text.count("File transfer failed")
        if done >= files or "Critical" in text:
            break
        if not text and time.monotonic() - pressed > 5:
            pressed = time.monotonic()
            window = ["xdotool", "search", "--onlyvisible", "--name", "FileZilla"]
            subprocess.run([*window, "windowfocus", "key", "ctrl+p"])
        time.sleep(0.3)
    time.sleep(0.5)
    program.terminate()


def main(verb, *arguments):
    if verb == "version":
        package = subprocess.run(["dpkg-query", "-W", "filezilla"], capture_output=True, text=True)
        print("FileZilla", package.stdout.split()[-1].split("-")[0])
        return
    flags, settings = 0, {}
    if verb in ("put", "resume"):
        files = [arguments]
    elif verb == "ascii":
        files, flags = [arguments], ASCII
    elif verb in ("puts", "four"):
        directory, remote = arguments
        files = [(f"{directory}/{n}", f"{remote}/{n}") for n in sorted(os.listdir(directory))]
        settings = {"Number of Transfers": "4"} if verb == "four" else {}
    elif verb == "get":
        files, flags = [(arguments[1], arguments[0])], DOWNLOAD
    else:
        sys.exit(64)
    log = filezilla(files, settings, flags)
    if log.count("File transfer successful") != len(files):
        sys.exit("\n".join(log.splitlines()[-30:]))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
