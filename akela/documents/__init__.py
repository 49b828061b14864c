"""Stored documents: shapes, indexes, format numbers, the change log, and the Operations servers' store.

`model` and `changelog` are Control's side, through mongoengine; `store` is the Operations servers' side, through pymongo's
asynchronous client. No other package knows either library.
"""
