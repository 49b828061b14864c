"""One plugin per plane of the wire contract: registration, hello, profile, configuration, data collection."""
