"""The Bootstrap server: tells endpoints, signed, where the Operations servers are."""
