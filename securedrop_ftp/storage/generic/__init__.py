"""Any other Django storage: :class:`.backend.GenericBackend`."""
