"""What the engine does, as the records that the live tracer makes of a kernel."""
