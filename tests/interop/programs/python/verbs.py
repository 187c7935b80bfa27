"""The command line that every Python program here has: ``program VERB ARGUMENT...``.

A program hands over a class: made, it is logged in, and each verb it knows is a method. A verb
that it lacks ends the program with 64 (``EX_USAGE``): the client cannot do that.
"""

import os
import platform
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOST = os.environ.get("FTPS_HOST", "")
PORT = int(os.environ.get("FTPS_PORT", "21"))
USER = os.environ.get("FTPS_USER", "")
PASSWORD = os.environ.get("FTPS_PASSWORD", "")
CA = os.environ.get("FTPS_CA")
UNKNOWN = 64


def run(session, version):
    """Do what the command line asks."""
    verb, *arguments = sys.argv[1:]
    if verb == "version":
        library = " ".join(ssl.OPENSSL_VERSION.split()[:2])
        print(f"{version}, Python {platform.python_version()}, {library}")
    elif verb == "puts":
        put_all(session(), *arguments)
    elif verb == "four":
        put_four_at_once(session, *arguments)
    elif not hasattr(session, verb):
        sys.exit(UNKNOWN)
    else:
        answer = getattr(session(), verb)(*arguments)
        if verb in ("list", "hash"):
            print(answer if isinstance(answer, str) else "\n".join(answer))


def put_all(session, directory, remote):
    """Every file of a directory, in one session."""
    for path in sorted(Path(directory).iterdir()):
        session.put(str(path), f"{remote}/{path.name}")


def put_four_at_once(session, directory, remote):
    """Every file of a directory, in four sessions that run at once."""
    files = sorted(Path(directory).iterdir())

    def some(number):
        mine = session()
        for path in files[number::4]:
            mine.put(str(path), f"{remote}/{path.name}")

    with ThreadPoolExecutor(4) as four:
        list(four.map(some, range(4)))
