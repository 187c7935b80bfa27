"""Partners' software against the service: ``make test-clients``."""
