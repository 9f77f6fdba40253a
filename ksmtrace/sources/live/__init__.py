"""Events of the running kernel, by way of bcc: the only place that imports it."""
