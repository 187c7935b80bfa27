"""Passive ports are drawn at random, and a crowded range still gives its last free one."""

from __future__ import annotations

import itertools
import socket

import pytest

from securedrop_ftp.ftps.answers import NoDataChannel
from securedrop_ftp.ftps.passive import _draw, bind_passive
from tests.fixtures.processes import free_port


def test_a_draw_reaches_every_port() -> None:
    ports = range(20000, 20200)
    assert set(_draw(ports)) == set(ports)


def test_the_first_ports_are_drawn_without_shuffling_the_range() -> None:
    # Shuffling 2³² ports would not end.
    assert all(n < 1 << 32 for n in itertools.islice(_draw(range(1 << 32)), 10))


@pytest.mark.integration
def test_the_last_free_port_is_found() -> None:
    first = free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with pytest.raises(NoDataChannel):
            bind_passive(taken, range(first, first + 1))
        with bind_passive(taken, range(first, first + 3)) as found:
            assert found.getsockname()[1] in (first + 1, first + 2)
