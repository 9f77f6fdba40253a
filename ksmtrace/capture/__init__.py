"""The capture format: an Arrow IPC stream, zstd compressed, in numbered segments (schema, writer, reader)."""
