"""The servers that the tests start are real and answer."""

from __future__ import annotations

import psycopg
import redis

from tests.fixtures.moto import MotoServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.redis import RedisServer


def test_postgres_answers_on_loopback_with_a_password(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.database()) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    assert int(row[0].split(".")[0]) >= 13


def test_redis_answers_on_loopback(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("a", "b")
        assert client.get("a") == b"b"


def test_moto_speaks_s3_over_tls(moto_server: MotoServer) -> None:
    client = moto_server.client()
    bucket = moto_server.bucket()
    client.put_object(Bucket=bucket, Key="a/b", Body=b"c")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"c"
