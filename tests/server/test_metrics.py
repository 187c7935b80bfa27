"""Metrics: what a worker counts, in a file that Prometheus' tools read."""

from __future__ import annotations

import re
from pathlib import Path

from securedrop_ftp.metrics import DESCRIBED, Metrics
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import Serve

SAMPLE = re.compile(r'^[a-z_]+(\{([a-z_]+="[^"\n]*",?)*\})? -?[0-9.e+]+$')


def test_the_text_is_prometheus_format_and_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.add("securedrop_events_total", event='a"b\\c\nd', outcome="success")
    metrics.add("securedrop_events_total", 2, event="login.failed", outcome="failure")
    metrics.put("securedrop_sessions", 3)
    text = metrics.render(worker="0")
    assert text.count("# TYPE securedrop_events_total counter") == 1
    assert 'event="a\\"b\\\\c\\nd"' in text
    assert 'securedrop_sessions{worker="0"} 3' in text


def test_a_worker_writes_what_it_did(served: Serve) -> None:
    ftps = served(options={"presence_interval": 0.2})
    with ftps.login() as client:
        client.upload("/counted.bin", b"x" * 1234)
        path = Path(str(ftps.settings["DATA_DIR"])) / "metrics" / "worker-0.prom"
        wanted = 'securedrop_upload_bytes_total{node="'
        wait_until(lambda: path.exists() and wanted in path.read_text(), "the metrics")
        text = path.read_text()
    assert re.search(r"^securedrop_upload_bytes_total\{.*\} 1234$", text, re.MULTILINE)
    assert re.search(r"^securedrop_sessions\{.*\} 1$", text, re.MULTILINE)
    assert re.search(r"^securedrop_certificate_expiry_seconds\{.*\} \d+", text, re.MULTILINE)
    assert 'event="upload.committed"' in text
    for line in text.splitlines():
        assert line.startswith("#") or SAMPLE.match(line), line
    ftps.stop()
    assert not path.exists()


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert set(re.findall(r"^\| `(securedrop_\w+)`", page, re.MULTILINE)) == set(DESCRIBED)
