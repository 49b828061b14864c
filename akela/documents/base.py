"""What every stored document has, and the errors of reading one."""

from typing import Any, ClassVar

import mongoengine as me
from mongoengine.base import BaseField
from pymongo.collection import Collection

from akela.errors import AkelaError

Content = dict[str, Any]


class DocumentError(AkelaError):
    """A stored document cannot be read, or content does not fit its shape."""


class PlainField(BaseField):  # type: ignore[misc]
    """A JSON value as it is, whatever its keys."""


class Stored(me.Document):  # type: ignore[misc]
    """A document of a collection of ours. Its indexes are declared in `meta`, made and checked by `akela.documents.indexes`."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True, "auto_create_index": False}

    @classmethod
    def collection(cls) -> Collection[Content]:
        """The collection behind the document."""
        return cls._get_collection()  # type: ignore[no-any-return]


class Managed(Stored):
    """A document that is written through the change log.

    `rev` is the sequence of the change that wrote it last, so it never repeats. `format` is the number of its shape
    (`akela.documents.upgrades`).
    """

    meta: ClassVar[dict[str, Any]] = {"abstract": True, "auto_create_index": False}

    format = me.IntField(required=True, min_value=1)
    rev = me.IntField(required=True, default=0)
