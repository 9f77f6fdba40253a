"""Published policies of merging: variants of the engine, each a module with an entry point."""
