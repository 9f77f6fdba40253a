"""The loop: batches from a source through the hooks, and what comes of it."""
