"""PASV (RFC 959 §4.1.2) and EPSV (RFC 2428 §3)."""

from __future__ import annotations

import ipaddress
import re

from securedrop_ftp import causes, replies
from securedrop_ftp.access import network
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.passive import Surroundings, listen
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.replies import Reply


@verb("PASV", argument=False, data=True, prepares=True, syntax="PASV")
def pasv(session: LoggedIn, _argument: str) -> Reply:
    """A port for an IPv4 client."""
    if session.data.epsv_all:
        return replies.BAD_SEQUENCE.but("EPSV ALL was sent.")
    address = _told(session)
    if not address:
        unknown = replies.NO_DATA_CHANNEL.but("The address to tell is not known now; use EPSV.")
        return unknown.because(causes.ADDRESS_UNKNOWN)
    try:
        octets = ipaddress.IPv4Address(address).packed
    except ValueError:
        wrong = replies.NO_DATA_CHANNEL.but("PASV speaks IPv4 only; use EPSV.")
        return wrong.because(causes.WRONG_FAMILY)
    port = _listen(session)
    numbers = ",".join(str(b) for b in (*octets, port >> 8, port & 255))
    return Reply(227, f"Entering passive mode ({numbers}).")


def _told(session: LoggedIn) -> str:
    """The address in the reply; ``""`` where the host name that is set has never been found."""
    conf = session.conf
    if not conf.ftps_passive_address:
        return session.client.local_ip
    if network.within(session.client.remote_ip, conf.ftps_passive_direct_from):
        return session.client.local_ip
    return session.runtime.passive_address


@verb("EPSV", data=True, prepares=True, words=True, syntax="EPSV [1|2|ALL]")
def epsv(session: LoggedIn, argument: str) -> Reply:
    """A port, whatever the address family."""
    if argument.upper() == "ALL":
        session.data.epsv_all = True
        return replies.OK.but("EPSV only from now on.")
    if not re.fullmatch(r"[0-9]*", argument):
        return replies.BAD_ARGUMENT.but("EPSV takes 1, 2 or ALL.")
    family = "2" if ":" in session.client.remote_ip else "1"
    if argument not in ("", family):
        return replies.PROTOCOL_UNSUPPORTED.but(f"Network protocol not supported, use ({family}).")
    return Reply(229, f"Entering extended passive mode (|||{_listen(session)}|).")


def _listen(session: LoggedIn) -> int:
    """A new listener in place of an unused one; its port."""
    session.data.require_protection()
    session.data.close_listeners()
    around = Surroundings(
        session.runtime,
        session.control,
        session.client,
        session.account,
        session.offload,
    )
    session.data.listener = listen(around)
    return session.data.listener.port
