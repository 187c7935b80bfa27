"""``make test-posture``: other people's scanners against the service, and one table of it.

Each profile is scanned by sslyze, testssl.sh and sslscan; then nmap looks at the default one, and
hydra and a clock of our own (for what refused logins tell by their time) at a server with every
limit at its default. Only loopback is ever a target. ``--write`` puts what they printed into
docs/reference/posture.md.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import cryptography
import OpenSSL
from OpenSSL import SSL

from tests.fixtures.processes import ROOT
from tests.posture import tools
from tests.posture.service import service
from tests.posture.timing import refusals
from tests.posture.tools import Finding

PAGE = ROOT / "docs" / "reference" / "posture.md"

HEAD = """\
# What scanners say

`make test-posture` starts the service on loopback with a certificate of 90 days that a test CA has
signed, and lets other people's scanners look at it. This page is what they printed on {date}
({versions}).

{table}

testssl.sh from Debian is a version that gives no grade; its findings are listed instead. Two of
them are not the service's: the OpenSSL that it uses has no engine, and the test CA publishes no
revocation list. hydra and our own clock met a server with every limit at its default. For the TLS
scanners the number of connections that one address may have was raised; for them and for nmap, the
number that it may open in a minute (with it, nmap's list of suites stays empty). The default
profile speaks TLS 1.2 alone; {{doc}}`/adr/0004-data-channel-binding` says why.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/reference/posture.md")
    parser.add_argument("--only", default="", help="tools to run, with commas between")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name]
    findings = scan(chosen)
    print("\n" + table(findings))
    if options.write:
        PAGE.write_text(page(findings))
    return 0 if findings and all(finding.good for finding in findings) else 1


def scan(chosen: list[str]) -> list[Finding]:
    """Run the chosen tools, or all."""
    findings: list[Finding] = []

    def run(tool: Callable[..., Finding], *arguments: object) -> None:
        name = tool.__name__
        if chosen and name not in chosen:
            return
        print(f"--- {name} {' '.join(a for a in arguments if isinstance(a, str))}", flush=True)
        try:
            findings.append(tool(*arguments))
        except Exception as exc:
            findings.append(Finding(name, "", f"{type(exc).__name__}: {exc}", False))

    for profile in ("tls12", "modern"):
        with service(
            tls_profile=profile, max_connections_per_ip=500, connection_rate_per_ip=0
        ) as ftps:
            for tool in (tools.sslyze, tools.testssl, tools.sslscan):
                run(tool, ftps, profile)
    with service(connection_rate_per_ip=0) as hurried:
        run(tools.nmap, hurried)
    for guesser in (tools.hydra, refusals):
        with service() as plain:
            run(guesser, plain)
    return findings


def table(findings: list[Finding]) -> str:
    lines = ["| tool | what it was asked | what it said | |", "|---|---|---|---|"]
    lines += [
        f"| {f.tool} | {f.asked} | {f.verdict} | {'good' if f.good else '**BAD**'} |"
        for f in findings
    ]
    return "\n".join(lines)


def page(findings: list[Finding]) -> str:
    """The page, without a path or a port of this machine."""
    versions = (
        f"Python {platform.python_version()}, pyOpenSSL {OpenSSL.__version__}, "
        f"cryptography {cryptography.__version__}, "
        f"{' '.join(SSL.SSLeay_version(0).decode().split()[:2])}"
    )
    text = HEAD.format(
        date=datetime.now(UTC).date().isoformat(), versions=versions, table=table(findings)
    )
    for f in findings:
        if f.details:
            text += f"## {f.tool}, {f.asked}\n\n```text\n{f.details}\n```\n\n"
    text = re.sub(r"localhost:\d+", "localhost", text)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
