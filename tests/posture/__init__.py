"""What other people's scanners say about the service: ``make test-posture``."""
