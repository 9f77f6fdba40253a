"""BPF text for bcc, one file per family of probes, and stub headers to compile it with."""
