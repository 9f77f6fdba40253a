"""What is gathered once a batch, expanded into the records that intercepting every page gives."""
