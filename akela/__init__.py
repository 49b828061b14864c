"""What Akela's servers, tools and endpoints share: the wire contract, documents, coordination, settings, the command line."""

__version__ = "0.1.0"
