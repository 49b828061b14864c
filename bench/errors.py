"""What a measurement can end with in place of numbers.

BenchError
    NoResult          a peer did not do a workload: which reason is told in its cell of the table
    NotStarted        a peer did not start, or let everybody in
"""


class BenchError(Exception):
    """Root of the bench's errors."""


class NoResult(BenchError):
    """A workload gave no number; the text tells why."""


class NotStarted(BenchError):
    """A broker did not start; the text tells what it said."""
