"""Google Cloud Storage: :class:`.backend.GCSBackend`."""
