"""What the ledger and the storage of a database under test hold, as one JSON object."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter

import django


def main() -> None:
    django.setup()
    from securedrop_ftp.models import AuditEvent, Upload
    from securedrop_ftp.storage.registry import backend_for

    print("ready", flush=True)
    sys.stdin.readline()
    backend = backend_for("default")
    objects = {}
    for page in backend.scandir("acme"):
        for entry in page:
            data = backend.read(entry, 0, entry.size)
            objects[f"/{entry.name}"] = hashlib.sha256(data).hexdigest()
    events = AuditEvent.objects.filter(event__startswith="upload.")
    print(
        json.dumps(
            {
                "objects": objects,
                "states": dict(Counter(Upload.objects.values_list("state", flat=True))),
                "events": dict(Counter(events.values_list("event", flat=True))),
            }
        )
    )


if __name__ == "__main__":
    main()
