"""Capture files: Arrow IPC streams with zstd, in numbered segments (schema, writer, reader)."""
