"""Each finding of the doctor, brought about for real."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.db import connection

from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.conf import MIB, Conf
from securedrop_ftp.exceptions import NotFound, StorageRefused
from securedrop_ftp.models import Account, Lockout, Partner, Upload
from securedrop_ftp.server.doctor import clock, limits, ports, storages, upload
from securedrop_ftp.server.doctor.certificates import client_certificates, server_certificate
from securedrop_ftp.server.doctor.database import durability, unusable
from securedrop_ftp.server.doctor.examination import examine
from securedrop_ftp.server.doctor.finding import Finding, Level
from securedrop_ftp.server.doctor.service import reachable, service
from securedrop_ftp.server.handover import Generation
from securedrop_ftp.server.status import (
    FILE,
    ServiceStatus,
    fingerprint,
    read_status,
    remove_status,
    write_status,
)
from securedrop_ftp.storage import registry
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.pki import SERVER, Authority, Pair, authority, self_signed
from tests.fixtures.processes import free_port

NAMES = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def the(findings: Iterable[Finding], level: str, words: str) -> Finding:
    """The finding of that level that says that."""
    found = list(findings)
    fitting = [f for f in found if f.level == level and words in str(f)]
    assert fitting, "\n".join(map(str, found))
    return fitting[0]


def levels(findings: Iterable[Finding]) -> set[str]:
    return {finding.level.value for finding in findings}


# --- certificate ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("A CA")


@pytest.fixture
def conf_with(tmp_path: Path) -> Callable[..., Conf]:
    """A configuration that serves a pair."""

    def make(pair: Pair, **values: Any) -> Conf:
        path = pair.save(tmp_path, "server")
        return Conf(tls_cert_file=str(path), tls_key_file=str(path), **values)

    return make


def test_a_good_certificate_is_well_but_for_its_private_ca(
    conf_with: Callable[..., Conf], ca: Authority
) -> None:
    conf = conf_with(ca.issue("localhost", purposes=SERVER, alternatives=NAMES))
    found = list(server_certificate(conf))
    the(found, "ok", "its key fits, 89 days left")
    the(found, "warning", "root CAs do not lead to it")
    assert len(found) == 2


def test_a_trusted_chain_has_nothing_to_be_said(
    conf_with: Callable[..., Conf],
    ca: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "roots.pem").write_text(ca.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    issuing = ca.intermediate("Issuing CA")
    conf = conf_with(issuing.issue("localhost", purposes=SERVER, alternatives=NAMES))
    assert levels(server_certificate(conf)) == {"ok"}
    incomplete = issuing.issue("localhost", purposes=SERVER, alternatives=NAMES)
    conf = conf_with(replace(incomplete, chain=()))
    the(server_certificate(conf), "warning", "append its intermediates")


def test_the_end_is_announced_thirty_days_ahead(
    conf_with: Callable[..., Conf], ca: Authority
) -> None:
    pair = ca.issue("localhost", purposes=SERVER, alternatives=NAMES, days=29)
    the(server_certificate(conf_with(pair)), "warning", "expires on")
    pair = ca.issue("localhost", purposes=SERVER, alternatives=NAMES, days=-1)
    the(server_certificate(conf_with(pair)), "problem", "expired on")


def test_another_key_is_a_problem(
    conf_with: Callable[..., Conf], ca: Authority, tmp_path: Path
) -> None:
    conf = conf_with(ca.issue("localhost", purposes=SERVER, alternatives=NAMES))
    other = ca.issue("other").save(tmp_path / "other", "key")
    the(
        server_certificate(replace(conf, tls_key_file=str(other))),
        "problem",
        "does not belong to the certificate",
    )
    the(server_certificate(replace(conf, tls_key_file="")), "problem", "is not set")


def test_a_chain_out_of_order_is_a_problem(conf_with: Callable[..., Conf], ca: Authority) -> None:
    one, two = ca.intermediate("One"), ca.intermediate("Two")
    pair = one.issue("localhost", purposes=SERVER, alternatives=NAMES)
    swapped = replace(pair, chain=(two.certificate, one.certificate))
    the(server_certificate(conf_with(swapped)), "problem", "out of order")


def test_a_self_signed_certificate_is_named_as_such(conf_with: Callable[..., Conf]) -> None:
    the(server_certificate(conf_with(self_signed("localhost"))), "warning", "self-signed")


def test_names_must_lead_to_the_service(conf_with: Callable[..., Conf], ca: Authority) -> None:
    pair = ca.issue("localhost", purposes=SERVER, alternatives=NAMES)
    conf = conf_with(pair, ftps_bind="0.0.0.0:21", ftps_passive_address="192.0.2.7")
    the(server_certificate(conf), "warning", "None of its names (localhost, 127.0.0.1) leads to")
    conf = conf_with(ca.issue("x", purposes=SERVER, alternatives=[NAMES[0]]))
    assert not [f for f in server_certificate(conf) if "names" in str(f)]  # localhost is 127.0.0.1
    the(server_certificate(conf_with(ca.issue("x", purposes=SERVER))), "problem", "no subject alt")


# --- client certificates -------------------------------------------------------------


def _asking(policy: str = "required", **values: Any) -> Partner:
    return create_partner("test", name="acme", client_certificates=policy, **values)


def test_partners_without_client_certificates_are_not_mentioned(db: None) -> None:
    create_partner("test", name="acme")
    assert list(client_certificates()) == []


def test_partners_whose_certificates_are_in_date_are_well(db: None, ca: Authority) -> None:
    _asking(client_ca=ca.pem, client_crl=ca.revoke())
    the(client_certificates(), "ok", "asked of 1 partners")


@pytest.mark.parametrize(("days", "level"), [(20, "warning"), (-1, "problem")])
def test_a_partners_ca_that_ends_is_told(db: None, days: int, level: str) -> None:
    _asking(client_ca=authority("Old CA", days=days).pem)
    the(client_certificates(), level, "The CA CN=Old CA,O=Test of partner acme ends on")


@pytest.mark.parametrize(("days", "level"), [(1, "warning"), (-1, "problem")])
def test_a_revocation_list_that_is_due_is_told(
    db: None, ca: Authority, days: int, level: str
) -> None:
    _asking(client_ca=ca.pem, client_crl=ca.revoke(next_update_days=days))
    the(client_certificates(), level, "past that nobody of it logs in")


def test_an_accounts_certificate_that_ends_is_told(db: None, ca: Authority) -> None:
    account = create_account(_asking(client_ca=ca.pem), "alice", "a-long-password", "test")
    end = datetime.now(UTC) + timedelta(days=10)
    Account.objects.filter(pk=account.pk).update(certificate_not_after=end)
    the(client_certificates(), "warning", "The certificate of alice (acme) ends on")


# --- database and clock --------------------------------------------------------------


def test_a_good_database_is_well_and_unchanged(db: None) -> None:
    assert unusable() is None
    the(durability(), "ok", "up to date, writable, durable")
    assert not Lockout.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_sqlite_below_full_synchronous_is_a_problem() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
    try:
        the(durability(), "problem", "“synchronous” is below FULL")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=FULL")


@pytest.mark.django_db(transaction=True)
def test_an_sqlite_without_wal_is_warned_of() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=DELETE")
    try:
        the(durability(), "warning", "journal mode is “delete”")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_cannot_be_written_is_a_problem() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only=ON")
    try:
        finding = unusable()
        assert finding is not None
        the([finding], "problem", "cannot be written")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only=OFF")


@pytest.mark.parametrize(
    ("ahead", "doubt", "level", "words"),
    [
        (0.5, 0.0, "ok", "agrees"),
        (-10.0, 9.0, "ok", "agrees"),
        (5.0, 0.0, "warning", "5 s ahead of ours"),
        (-100.0, 1.0, "problem", "99 s behind ours"),
    ],
)
def test_clocks_are_compared_as_exactly_as_they_are_known(
    ahead: float, doubt: float, level: str, words: str
) -> None:
    the([clock.judged("the database", ahead, doubt)], level, words)


# --- storage -------------------------------------------------------------------------


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBackend]:
    registry.reset()
    backend = registry.backend_for("default")
    assert isinstance(backend, MemoryBackend)
    yield backend
    registry.reset()


def test_a_storage_that_does_it_all_is_well_and_left_as_it_was(memory: MemoryBackend) -> None:
    the(storages.storage("default"), "ok", "puts, lists, reads and deletes")
    with pytest.raises(NotFound):
        memory.stat(".securedrop/doctor")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("check", "failed at reaching it"),
        ("put_object", "failed at put"),
        ("scandir", "failed at list"),
        ("read", "failed at read"),
        ("begin", "failed at multipart"),
        ("delete", "failed at delete"),
    ],
)
def test_a_storage_that_refuses_a_step_is_a_problem_that_names_it(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch, method: str, words: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise StorageRefused("Access denied.")

    monkeypatch.setattr(memory, method, refuse)
    finding = the(storages.storage("default"), "problem", words)
    assert "Access denied." in finding.text


def test_a_storage_that_gives_back_other_bytes_is_a_problem(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "read", lambda *_: b"other")
    the(storages.storage("default"), "problem", "Other bytes came back")


def test_a_storage_that_is_not_configured_is_a_problem() -> None:
    the(storages.storage("nowhere"), "problem", "nowhere")


def test_a_storage_whose_clock_is_wrong_is_told(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = memory.stat

    def late(key: str) -> Any:
        return replace(stat(key), modified=datetime.now(UTC) - timedelta(minutes=10))

    monkeypatch.setattr(memory, "stat", late)
    the(storages.storage("default"), "problem", "The clock of the storage is")


# --- passive ports -------------------------------------------------------------------


@pytest.fixture
def quiet_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A kernel whose ephemeral ports are far away."""
    (tmp_path / "ip_local_port_range").write_text("60000\t60999\n")
    (tmp_path / "ip_local_reserved_ports").write_text("\n")
    monkeypatch.setattr(ports, "_IPV4", tmp_path)
    return tmp_path


def _range(first: int, count: int = 60) -> Conf:
    return Conf(ftps_bind="127.0.0.1:2121", ftps_passive_ports=f"{first}-{first + count - 1}")


def _free_range(count: int = 60) -> int:
    for first in range(3000, 9900, 100):  # no other test's
        if not ports._unbindable("127.0.0.1", range(first, first + count))[0]:
            return first
    raise AssertionError("no free range")


@pytest.mark.integration
def test_free_ports_are_well(quiet_kernel: Path) -> None:
    the(ports.passive_ports(_range(_free_range())), "ok", "60 ports, all free")


@pytest.mark.integration
def test_a_port_that_another_program_has_is_told(quiet_kernel: Path) -> None:
    first = _free_range()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 3))
        other.listen()
        the(ports.passive_ports(_range(first)), "warning", f"in use just now ({first + 3})")


@pytest.mark.integration
def test_a_range_that_is_mostly_taken_is_a_problem(quiet_kernel: Path) -> None:
    first = _free_range(3)
    with socket.socket() as one, socket.socket() as two:
        for offset, other in enumerate((one, two)):
            other.bind(("127.0.0.1", first + offset))
            other.listen()
        the(ports.passive_ports(_range(first, 3)), "problem", "2 of 3 are in use")


@pytest.mark.integration
def test_ports_that_cannot_be_bound_are_a_problem(quiet_kernel: Path) -> None:
    conf = replace(_range(12000), ftps_bind="192.0.2.1:2121")  # TEST-NET: nobody's address
    the(ports.passive_ports(conf), "problem", "cannot be bound")


@pytest.mark.integration
def test_a_range_of_the_kernels_own_is_warned_of_unless_reserved(quiet_kernel: Path) -> None:
    first = _free_range()
    (quiet_kernel / "ip_local_port_range").write_text(f"{first} 20000")
    the(ports.passive_ports(_range(first)), "warning", "outgoing connections")
    (quiet_kernel / "ip_local_reserved_ports").write_text(f"5,{first}-{first + 59}")
    assert levels(ports.passive_ports(_range(first))) == {"ok"}


@pytest.mark.integration
def test_the_listeners_port_must_not_be_in_the_range(quiet_kernel: Path) -> None:
    first = _free_range()
    conf = replace(_range(first), ftps_bind=f"127.0.0.1:{first}")
    the(ports.passive_ports(conf), "problem", "lies in the passive range")


@pytest.mark.integration
def test_a_small_range_is_warned_of(quiet_kernel: Path) -> None:
    the(ports.passive_ports(_range(_free_range(), 5)), "warning", "are only 5")


# --- limits --------------------------------------------------------------------------


def test_limits_that_suffice_are_well() -> None:
    conf = Conf(ftps_workers=1, max_connections=10, worker_memory=MIB)
    assert levels(limits.limits(conf, None)) <= {"ok", "warning"}  # a slow machine hashes slowly
    assert not list(limits.descriptors(conf, 1024))
    assert not list(limits.memory(conf, 512 * MIB))
    assert not list(limits.logins(conf, 0.05, 2))


def test_too_few_descriptors_are_told() -> None:
    finding = the(limits.descriptors(Conf(), 1024), "warning", "may open 1024 files")
    assert "LimitNOFILE=4256" in finding.mend


def test_too_little_memory_is_told() -> None:
    conf = Conf(ftps_workers=4, worker_memory=1024 * MIB)
    the(limits.memory(conf, 4000 * MIB), "warning", "may use")
    the(limits.memory(conf, 1000 * MIB), "problem", "may use")


def test_slow_hashes_and_too_many_workers_are_told() -> None:
    conf = Conf(ftps_workers=9, concurrent_hashes=2)
    found = list(limits.logins(conf, 2.0, 2))
    the(found, "warning", "9 workers share 2 cores")
    the(found, "warning", "takes 2.0 s here: about 1.0 logins a second")


# --- the running service -------------------------------------------------------------


@pytest.fixture
def certified(tmp_path: Path) -> Conf:
    make_certificates(tmp_path / "tls")
    return Conf(
        data_dir=tmp_path / "data",
        tls_cert_file=str(tmp_path / "tls" / "server.pem"),
        tls_key_file=str(tmp_path / "tls" / "server.key"),
    )


def _leaf(conf: Conf) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(conf.tls_cert_file).read_bytes())


def _status(conf: Conf) -> ServiceStatus:
    first = Generation(1, 0, os.getpid(), 0.0, ())
    return ServiceStatus.of_service(first, "127.0.0.1", 2121, 2, _leaf(conf))


def test_the_status_file_is_private_and_goes_with_its_process(certified: Conf) -> None:
    status = _status(certified)
    write_status(certified.data_dir, status)
    assert (certified.data_dir / FILE).stat().st_mode & 0o777 == 0o600
    assert read_status(certified.data_dir) == status
    remove_status(certified.data_dir, status)
    assert read_status(certified.data_dir) is None
    assert list(certified.data_dir.iterdir()) == []


def test_a_dead_process_says_nothing(certified: Conf) -> None:
    write_status(certified.data_dir, replace(_status(certified), started="1"))
    assert read_status(certified.data_dir) is None  # the pid lives, as another process
    the(service(certified, None), "ok", "none runs")


def test_another_services_file_is_left_alone(certified: Conf) -> None:
    status = _status(certified)
    write_status(certified.data_dir, status)
    write_status(certified.data_dir, replace(status, pid=status.pid + 1, port=99))
    assert read_status(certified.data_dir) == status


def test_a_status_file_that_cannot_be_written_stops_nothing(
    certified: Conf, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    write_status(tmp_path / "file", _status(certified))


def test_a_service_that_serves_what_the_file_holds_is_well(certified: Conf) -> None:
    the(service(certified, _status(certified)), "ok", "serves on 127.0.0.1:2121 with 2 workers")


def test_a_certificate_that_waits_for_a_reload_is_told(certified: Conf, tmp_path: Path) -> None:
    status = _status(certified)
    make_certificates(tmp_path / "tls")
    assert fingerprint(_leaf(certified)) != status.certificate
    the(service(certified, status), "warning", f"kill -HUP {status.pid}")


def test_a_refused_reload_is_a_problem_until_one_succeeds(certified: Conf) -> None:
    status = _status(certified).after_refusal("The certificate expired.")
    the(service(certified, status), "problem", "was refused, and the old certificate")
    assert levels(service(certified, status.after_reload(_leaf(certified)))) == {"ok"}


def test_a_refused_replacement_is_a_problem(certified: Conf) -> None:
    status = _status(certified).after_refused_replacement("It ended with exit code 3.", 1.0)
    the(service(certified, status), "problem", "Generation 1 serves on: the last replacement")


@pytest.mark.integration
def test_a_strange_program_on_our_port_is_recognised(db: None) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as stranger:
        conf = Conf(ftps_bind=f"127.0.0.1:{port}")

        def greet() -> None:
            taken, _ = stranger.accept()
            with taken:
                taken.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        the(
            upload.real_upload(conf, None),
            "problem",
            f"another program listens on 127.0.0.1:{port}",
        )
        thread.join()
    assert reachable(conf, None) is None


# --- leftovers and order -------------------------------------------------------------


def test_the_partner_of_a_killed_run_is_removed_and_no_other(db: None) -> None:
    names = ("doctor-0123456789ab", "doctor-ba9876543210", "doctor-who", "acme")
    partners = {name: create_partner("test", name=name) for name in names}
    create_account(partners[names[0]], names[0], "a-long-password", "test")
    Upload.objects.create(
        partner=partners[names[0]], username="x", storage="default", key="x", path="/x"
    )
    old = datetime.now(UTC) - timedelta(hours=1)
    Partner.objects.exclude(name=names[1]).update(created=old)
    upload.remove_forgotten()
    assert set(Partner.objects.values_list("name", flat=True)) == set(names[1:])


def test_a_bad_setting_is_the_only_finding(settings: Any) -> None:
    settings.SECUREDROP = {**settings.SECUREDROP, "MAX_CONNECTIONS": -1}
    (finding,) = examine()
    assert finding.level is Level.PROBLEM
    assert "SECUREDROP_MAX_CONNECTIONS" in str(finding)


def test_a_finding_is_one_line_whatever_it_quotes() -> None:
    text = str(Finding(Level.PROBLEM, "storage", "a\nb\x1b[31m", "mend"))
    assert text.isprintable()
