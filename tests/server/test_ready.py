"""``ready`` is printed when partners can be served, and whenever they can: not where every upload
would fail, and also where those of one partner would."""

from __future__ import annotations

import ftplib
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.moto import MotoServer
from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps

OTHERS = {"DJANGO_SETTINGS_MODULE": "tests.fixtures.others_project"}


def refused(ftps: ServedFtps) -> str:
    """What a service that cannot serve says; it ends with 1 and never says that it is ready."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "ftps_serve"],
        env=ftps.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ready" not in done.stdout
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def starts(ftps: ServedFtps) -> bool:
    """Whether it becomes ready."""
    try:
        ftps.start()
    except RuntimeError:
        return False
    return True


def test_a_project_without_time_zones_is_not_served(served: Serve) -> None:
    ftps = served(start=False, env=OTHERS | {"TEST_USE_TZ": "no"})
    assert "Set USE_TZ = True" in refused(ftps)


def test_without_a_data_folder_to_write_in_nobody_is_served(served: Serve, tmp_path: Path) -> None:
    ftps = served(start=False)  # its database is elsewhere, as PostgreSQL would be
    (tmp_path / "file").touch()
    ftps.settings["DATABASE_URL"] = ftps.database_url
    ftps.settings["DATA_DIR"] = tmp_path / "file" / "data"
    told = refused(ftps)
    assert "The data folder" in told
    assert "cannot be written by the user" in told


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_database_that_takes_no_row_is_not_served(served: Serve, database: str) -> None:
    env = OTHERS | ({"TEST_SQLITE_READ_ONLY": "yes"} if database == "sqlite" else {})
    ftps = served(database, start=False, env=env)
    if database == "postgres":
        name = ftps.database_url.rpartition("/")[2]
        ftps.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "The database cannot be written" in refused(ftps)


@pytest.mark.parametrize("table", ["django_migrations", "WHERE app = 'axes'"])
def test_a_database_without_the_services_tables_is_not_served(served: Serve, table: str) -> None:
    ftps = served(start=False)
    where = table if table.startswith("WHERE") else ""
    ftps.query(f"DELETE FROM django_migrations {where}")
    told = refused(ftps)
    assert "The database is not up to date" in told
    assert "migrate" in told


def test_another_apps_pending_migration_is_a_line_in_the_log(served: Serve) -> None:
    ftps = served(start=False, env=OTHERS | {"TEST_APP": "tests.fixtures.unmigrated"})
    assert starts(ftps)
    with ftps.login() as client:
        client.storbinary("STOR /a.bin", io.BytesIO(b"a"))
    (line,) = ftps.log_lines("database.foreign_migrations")
    assert line["migrations"] == ["unmigrated.0001_initial"]


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("trouble", ["no bucket", "no answer", "no class", "no alias"])
def test_one_partners_storage_stops_nobody_else(
    served: Serve, moto_server: MotoServer, silent_endpoint: str, tmp_path: Path, trouble: str
) -> None:
    urls = {
        "no bucket": moto_server.url("nobody-made-it"),
        "no answer": f"s3://bucket/?endpoint_url={silent_endpoint}&region=us-east-1",
        "no class": f"file://{tmp_path}",
    }
    env = {**OTHERS, **moto_server.credentials}
    if trouble in urls:
        env["TEST_ARCHIVE_URL"] = urls[trouble]
    if trouble == "no class":
        env["TEST_ARCHIVE_CLASS"] = "nobody.wrote.it"
    ftps = served(start=False, env=env, options={"storage_timeout": 3})
    ftps.query("UPDATE securedrop_ftp_partner SET storage = 'archive' WHERE name = 'globex'")
    assert starts(ftps)
    with ftps.login("alice") as client:
        assert client.storbinary("STOR /a.bin", io.BytesIO(b"a")).startswith("226")
    with pytest.raises(ftplib.Error, match=r"^[45]\d\d"), ftps.login("bob") as client:
        client.storbinary("STOR /b.bin", io.BytesIO(b"b"))
    (line,) = ftps.log_lines("storage.unusable")
    assert (line["storage"], line["partners"]) == ("archive", ["globex"])
    assert line["reason"]
    assert ftps.keys() == ["acme/a.bin"]
    told = [*ftps.log_lines("login.storage_unusable"), *ftps.audit("upload.rejected")]
    assert [row["partner"] for row in told] == ["globex"]


def test_where_no_partners_storage_is_there_nobody_is_served(
    served: Serve, moto_server: MotoServer
) -> None:
    ftps = served(start=False, env=moto_server.credentials)
    ftps.settings["STORAGE_URL"] = moto_server.url("nobody-made-it")
    told = refused(ftps)
    assert "Storage “default” cannot be used" in told
    assert "nobody-made-it" in told
    assert "Check SECUREDROP_STORAGE_URL; “" in told
