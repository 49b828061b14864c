"""The Control server: manages all data of the system for each tenant, and tells every Operations server of each change."""
