"""Amazon S3 and servers that speak its protocol: :class:`.backend.S3Backend`."""
