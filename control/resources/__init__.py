"""The resources of the REST API, one file each: request bodies, rules, routes."""
