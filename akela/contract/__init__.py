"""What endpoint and server agree on: topics, codes, payloads, merge, delta, configuration ids, the signed server list.

Values in, values out; no socket, clock or database. Needs the standard library, fastavro and cryptography only.
"""
