"""APPE names no offset: it goes on with a suspended upload only where the client was told of that,
and not of a finished file of the name."""

from __future__ import annotations

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.temporary_names import size_as_filezilla_sees_it

#: Bytes of a part; S3's are 5 MiB at least.
PARTS = {"filesystem": 64 * 1024, "s3": 5 * 1024 * 1024}


def _asked(client: FtpsClient, name: str) -> int | None:
    client.voidcmd("TYPE I")
    return client.size(name)


HOW = {"SIZE": _asked, "MLSD": size_as_filezilla_sees_it}


@pytest.fixture(params=PARTS)
def interrupted(request: pytest.FixtureRequest, standing: Serve) -> tuple[ServedFtps, bytes]:
    """A finished file, and the upload of a new one that was cut off."""
    storage: str = request.param
    ftps = standing("sqlite", storage, options={"part_size": PARTS["filesystem"]})
    data = bytes(range(256)) * (PARTS[storage] * 3 // 256)
    with ftps.login() as client:
        client.upload("daily.bin", b"yesterday's")
        assert client.truncated_upload("daily.bin", data[: PARTS[storage] * 2]).startswith("426")
    return ftps, data


@pytest.mark.parametrize("how", HOW)
def test_who_saw_a_finished_file_does_not_go_on_with_the_new_one(
    interrupted: tuple[ServedFtps, bytes], how: str
) -> None:
    ftps, data = interrupted
    with ftps.login() as client:
        there = HOW[how](client, "daily.bin")
        assert there == len(b"yesterday's")
        assert client.try_to_store("APPE daily.bin", data[there:]).startswith("550")
        assert ftps.stored("acme/daily.bin") == b"yesterday's"
        # Nor where the consumer takes it away meanwhile.
        ftps.store.remove("acme/daily.bin")
        assert client.try_to_store("APPE daily.bin", data[there:]).startswith("554")
        assert "acme/daily.bin" not in ftps.store.everything()
        _goes_on(ftps, client, how, data)


def _goes_on(ftps: ServedFtps, client: FtpsClient, how: str, data: bytes) -> None:
    there = HOW[how](client, "daily.bin")
    assert there
    client.voidcmd("TYPE I")
    assert client.try_to_store("APPE daily.bin", data[there:]).startswith("226")
    assert ftps.stored("acme/daily.bin") == data
