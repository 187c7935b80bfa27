"""One function for each scanner: runs it, bounded, and judges what it printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.fixtures.cast import password_of
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import ServedFtps

#: Seconds for one scanner.
BOUND: Final = 900

#: Findings of testssl that are not the service's, and whose they are.
EXCUSED: Final = {
    "engine_problem": "the scanner's own OpenSSL",
    "cert_revocation": "the test CA publishes no revocation list",
}

NMAP_SCRIPTS: Final = "ftp-*,ssl-*,sslv2*,tls-alpn,tls-nextprotoneg"

WRONG_PASSWORDS: Final = 39


class NotInstalled(Exception):
    """The scanner is missing; says how to get it."""


@dataclass(frozen=True)
class Finding:
    """What one scanner said."""

    tool: str
    asked: str
    verdict: str
    good: bool
    details: str = ""


def sslyze(ftps: ServedFtps, profile: str) -> Finding:
    """Mozilla's "intermediate" configuration, the certificate's trust included."""
    python = _sslyze_python()
    output = _run(
        str(python), "-m", "sslyze", "--starttls=ftp", "--mozilla_config=intermediate",
        f"--certinfo_ca_file={ftps.ca}", f"localhost:{ftps.port}",
    )  # fmt: skip
    compliance = output.partition("COMPLIANCE AGAINST")[2]
    good = "OK - Compliant" in compliance
    verdict = "compliant" if good else "NOT compliant"
    failures = [line.strip() for line in compliance.splitlines() if line.strip().startswith("*")]
    details = "\n".join(failures) or _between(output, "TLS 1.2 Cipher Suites", "SCANS COMPLETED")
    asked = f"{profile}: Mozilla intermediate"
    return Finding(f"sslyze {_version(python)}", asked, verdict, good, details)


def testssl(ftps: ServedFtps, profile: str) -> Finding:
    """Everything that testssl.sh looks at, with the test CA trusted."""
    program = _program("testssl", "testssl.sh")
    report = ftps.directory / f"testssl-{profile}.json"
    output = _run(
        program, "--quiet", "--warnings", "batch", "--nodns", "none", "--color", "0",
        "--starttls", "ftp", "--add-ca", str(ftps.ca), "--jsonfile", str(report),
        f"localhost:{ftps.port}",
    )  # fmt: skip
    findings: list[dict[str, Any]] = json.loads(report.read_text())
    told = [f for f in findings if f["severity"] not in ("OK", "INFO")]
    ours = [f for f in told if f["id"] not in EXCUSED]
    trusted = any(f["id"] == "cert_chain_of_trust" and f["severity"] == "OK" for f in findings)
    good = trusted and not ours
    count = sum(f["severity"] == "OK" for f in findings)
    grades = [f["finding"] for f in findings if f["id"] == "overall_grade"]
    verdict = f"{count} OK, {len(ours)} findings; chain of trust {'Ok' if trusted else 'NOT ok'}"
    verdict += f"; grade {grades[0]}" if grades else "; this version gives no grade"
    details = "\n".join(
        [
            *(f"{f['severity']} {f['id']}: {f['finding']}" for f in ours),
            *(f"(not ours) {f['id']}: {EXCUSED[f['id']]}" for f in told if f["id"] in EXCUSED),
            *_between(output, "Testing protocols", "Testing robust").splitlines(),
            *_between(output, "Testing vulnerabilities", "Testing 370").splitlines(),
        ]
    )
    version = _first(r"testssl\D+([\d.]+\d)", _run(program, "--version"))
    return Finding(f"testssl.sh {version}", f"{profile}: everything", verdict, good, details)


def sslscan(ftps: ServedFtps, profile: str) -> Finding:
    """Versions and suites, from a third point of view."""
    program = _program("sslscan", "sslscan")
    output = _run(program, "--no-colour", "--starttls-ftp", f"127.0.0.1:{ftps.port}")
    enabled = sorted(re.findall(r"^(\S+v\S+)\s+enabled$", output, re.MULTILINE))
    lines = re.findall(r"^(?:Preferred|Accepted)\s.*$", output, re.MULTILINE)
    strong = all(re.search(r"ECDHE.*(GCM|CHACHA20)|TLS_(AES|CHACHA20)", line) for line in lines)
    expected = ["TLSv1.2"] + (["TLSv1.3"] if profile == "modern" else [])
    good = enabled == expected and bool(lines) and strong
    verdict = f"{', '.join(enabled)} only; {len(lines)} suites, " + (
        "all AEAD with forward secrecy" if strong else "some weak"
    )
    version = _first(r"(\d+\.\d+\.\d+)", _run(program, "--version"))
    details = "\n".join(" ".join(line.split()) for line in lines)
    return Finding(f"sslscan {version}", f"{profile}: versions, suites", verdict, good, details)


def nmap(ftps: ServedFtps) -> Finding:
    """Its ftp and TLS scripts: anonymous login, bounce, guessing, known backdoors, weak suites."""
    program = _program("nmap", "nmap")
    output = _run(
        program, "-Pn", "-sT", "-sV", "-p", str(ftps.port), "--script", NMAP_SCRIPTS,
        "--script-args", "unpwdb.timelimit=20s", "127.0.0.1",
    )  # fmt: skip
    told = [line[2:].rstrip() for line in output.splitlines() if line.startswith(("| ", "|_"))]
    text = "\n".join(told)
    bad = [
        line
        for line in told
        if re.search(
            r"VULNERABLE|Anonymous FTP login allowed|bounce working|Valid credentials", line
        )
    ]
    strengths = re.findall(r"least strength: (\S+)", text)
    guessed = "No valid accounts found" in text
    good = not bad and strengths == ["A"] and guessed
    rows = len(_logins(ftps))
    verdict = "; ".join(
        [
            f"{len(bad)} findings (no anonymous login, no bounce, no backdoor)"
            if not bad
            else bad[0],
            f"least cipher strength {', '.join(strengths)}",
            f"no account guessed, {rows} tries in the audit trail"
            if guessed
            else "guessing: below",
        ]
    )
    version = _first(r"version ([\d.]+)", _run(program, "--version"))
    details = _nmap_details(told)
    return Finding(f"nmap {version}", "scripts ftp-\\*, ssl-\\*", verdict, good, details)


def hydra(ftps: ServedFtps) -> Finding:
    """Guesses at one account, the right password last; every try must be in the audit trail."""
    program = _program("hydra", "hydra")
    words = ftps.directory / "words"
    guesses = [f"wrong-{n}" for n in range(WRONG_PASSWORDS)] + [password_of("alice")]
    words.write_text("\n".join(guesses) + "\n")
    output = _run(
        program, "-I", "-V", "-t", "4", "-l", "alice", "-P", str(words), "-s", str(ftps.port),
        "127.0.0.1", "ftps",
    )  # fmt: skip
    tried = output.count("[ATTEMPT]")
    wait_until(lambda: len(_logins(ftps)) >= tried, "the audit rows")
    rows = _logins(ftps)
    checked = sum(row["event"] != "login.locked" for row in rows)
    locked = sum(row["event"] == "login.locked" for row in rows)
    found = "0 valid password" not in output
    lockout = any("locked until" in row["reason"] for row in rows)
    verdict = (
        f"{tried} tries, {'FOUND the password' if found else 'nothing found'}: {checked} passwords "
        f"looked at, {locked} refused unseen; {len(rows)} audit rows"
    )
    good = not found and len(rows) == tried and lockout and checked == 5
    reasons = [re.sub(r"\d{4}-.*Z", "...", f"{row['event']}: {row['reason']}") for row in rows]
    details = "\n".join(f"{reasons.count(r):>3} {r}" for r in dict.fromkeys(reasons))
    version = _first(r"Hydra v([\d.]+)", _run(program, "-h"))
    return Finding(f"hydra {version}", "40 guesses at one account", verdict, good, details)


# --- below -----------------------------------------------------------------------------


def _logins(ftps: ServedFtps) -> list[dict[str, Any]]:
    return [row for row in ftps.audit() if row["event"].startswith("login.")]


def _nmap_details(told: list[str]) -> str:
    """Without the certificate and the greeting, which say nothing about weakness."""
    kept: list[str] = []
    keep = False
    for line in told:
        if re.match(r"\S+:", line):
            keep = line.startswith(("ssl-enum-ciphers", "ftp-", "tls-alpn", "sslv2"))
        if keep:
            kept.append(line)
    return "\n".join(kept)


def _sslyze_python() -> Path:
    """sslyze in an environment of its own: it pins an older cryptography than the service."""
    home = ROOT / ".venv" / "posture"
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        print("Installing sslyze into .venv/posture ...", flush=True)
        _run(sys.executable, "-m", "venv", str(home))
        requirements = ROOT / "requirements" / "posture.txt"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        _run(*pip, "-r", str(requirements))
        (home / ".installed").touch()
    return python


def _version(python: Path) -> str:
    return _run(
        str(python), "-c", "from importlib.metadata import version; print(version('sslyze'))"
    ).strip()


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(f"{name} is missing: apt-get install {package}")
    return found


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=BOUND,
        check=False,
        cwd=ROOT,
    )
    return done.stdout


def _between(text: str, start: str, end: str) -> str:
    inner = text.partition(start)[2].partition(end)[0]
    lines = [line.rstrip() for line in inner.splitlines()[1:]]
    return "\n".join(line for line in lines if line)


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1) if match else ""
