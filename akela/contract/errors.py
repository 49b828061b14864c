"""Errors of the wire contract.

ContractError          something said breaks the contract; `code` is how it is answered
├── TopicError         a topic, or an id inside one
├── PayloadError       bytes that are not what their topic carries
├── SchemaError        an Avro schema that is none
├── MergeError         configuration layers whose result breaks the schema
└── SignatureError     a server list that is not to be believed
"""

from akela.contract.codes import Code


class ContractError(Exception):
    """`reason` names value and what is allowed; `key` is the field or topic concerned, if one is."""

    default_code = Code.BAD_REQUEST

    def __init__(self, reason: str, *, code: Code | None = None, key: str | None = None) -> None:
        super().__init__(f"{key}: {reason}" if key else reason)
        self.reason = reason
        self.code = self.default_code if code is None else code
        self.key = key


class TopicError(ContractError):
    """A topic, or an id inside one, breaks the grammar."""


class PayloadError(ContractError):
    """Bytes that are not what their topic carries."""


class SchemaError(ContractError):
    """An Avro schema that is none; `key` is the place inside it."""

    default_code = Code.UNPROCESSABLE


class MergeError(ContractError):
    """Layers whose result breaks the schema; `key` is the field."""

    default_code = Code.UNPROCESSABLE


class SignatureError(ContractError):
    """A server list whose signature, key or age does not hold."""

    default_code = Code.UNAUTHORIZED
