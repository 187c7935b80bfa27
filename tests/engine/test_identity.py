"""A writer is ``node:service:boot:worker``: told apart by each, and dead when its boot is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from securedrop_ftp import clock
from securedrop_ftp.conf import Conf
from securedrop_ftp.engine.identity import new_boot, of_process, of_worker
from securedrop_ftp.intake import owners
from securedrop_ftp.intake.owners import DEAD_AFTER
from securedrop_ftp.models import ServiceBoot

CONF = Conf(node="here")


def test_services_boots_and_workers_of_one_node_are_different_writers() -> None:
    first, again = new_boot(CONF), new_boot(CONF)
    writers = [
        of_worker(first, 0, 1).owner,
        of_worker(first, 0, 2).owner,  # in the place of one that died
        of_worker(first, 1, 1).owner,
        of_worker(again, 0, 1).owner,
        of_process(CONF).owner,
        of_process(CONF).owner,
    ]
    assert len(set(writers)) == len(writers)
    assert {owners.node_of(writer) for writer in writers} == {"here"}


@pytest.mark.django_db
def test_the_writers_of_a_dead_boot_are_dead_and_no_others() -> None:
    ftps, web, gone = new_boot(CONF), of_process(CONF), of_process(CONF)
    for boot in (ftps, web.boot, gone.boot):
        owners.register(boot)
    late = clock.now() - timedelta(seconds=DEAD_AFTER + 1)
    ServiceBoot.objects.filter(pk=gone.boot.id).update(beat=late)
    living = {of_worker(ftps, 0, 1).owner, web.owner}
    assert owners.gone(living | {gone.owner}) == {gone.owner}


@pytest.mark.django_db
def test_who_beats_under_another_name_is_no_namesake() -> None:
    ftps, web = new_boot(CONF), of_process(CONF)
    owners.register(web.boot)
    owners.register(ftps)
    assert owners.namesakes(ftps) == {}


@pytest.mark.django_db
def test_writers_of_earlier_versions_and_commands_end_with_their_leases() -> None:
    """``node:boot:worker``: their service is not known, so nobody can say that it is dead."""
    earlier = "node:with:colons:1234-beef:0.1"
    assert owners.boot_of(earlier) is None
    assert owners.node_of("here:1234-beef:0.1") == "here"
    assert owners.gone([earlier, "here:command:1234-beef:0.0"]) == set()
