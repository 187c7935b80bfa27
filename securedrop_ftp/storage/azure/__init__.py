"""Azure Blob Storage: :class:`.backend.AzureBackend`."""
