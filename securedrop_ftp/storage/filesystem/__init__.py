"""Files under a directory: :class:`.backend.FilesystemBackend`."""
