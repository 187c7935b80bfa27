"""How this service uses its database.

- :mod:`.transactions`: short writes, and the one rule for running a job again;
- :mod:`.sqlite_turn`: whose turn it is to write to SQLite;
- :mod:`.connections`: connections are looked at around each job;
- :mod:`.shared`: at most so many of them for the threads of a process;
- :mod:`.forks`: no thread is within SQLite while the process forks;
- :mod:`.threads`: the one place where threads begin, so that each has checked connections;
- :mod:`.writer`: one thread that commits small jobs in groups.
"""

from securedrop_ftp.db.connections import (
    check_connections,
    limit_statements,
    renew_connections,
    renewed_connections,
)
from securedrop_ftp.db.forks import outside_forks
from securedrop_ftp.db.shared import release_connection, share_connections, stop_sharing
from securedrop_ftp.db.transactions import run_in_transaction, write_transaction
from securedrop_ftp.db.writer import DatabaseWriter

__all__ = [
    "DatabaseWriter",
    "check_connections",
    "limit_statements",
    "outside_forks",
    "release_connection",
    "renew_connections",
    "renewed_connections",
    "run_in_transaction",
    "share_connections",
    "stop_sharing",
    "write_transaction",
]
