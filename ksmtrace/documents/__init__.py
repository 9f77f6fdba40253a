"""Every JSON document that ksmtrace prints: its keys, and the JSON Schema made of them."""
