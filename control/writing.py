"""PUT and PATCH of what is there: the settings that a body gives, a merge patch (RFC 7396) made into such a body, what differs.

A PATCH body is checked by a model made of the PUT body's: every field may be left out, and null stands for its default.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Body as RequestBody
from pydantic import BaseModel, Field, ValidationError, create_model

from akela.contract.delta import apply
from control.problems import Problem

B = TypeVar("B", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])

MERGE_PATCH: Final = "application/merge-patch+json"


def patch_of(model: type[BaseModel]) -> Any:
    """The type of a route's parameter that takes a merge patch of `model`."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind: Any = field.rebuild_annotation()
        fields[name] = (kind if field.is_required() else kind | None, Field(default_factory=lambda: None))
    made: Any = create_model(
        f"{model.__name__}Patch", __base__=model, __doc__=f"Changes of {model.__name__}: a JSON merge patch.", **fields
    )
    return Annotated[made, RequestBody(media_type=MERGE_PATCH)]


def takes_patch(model: type[BaseModel]) -> Callable[[F], F]:
    """Decorator of a route: its `body` is a merge patch of `model`."""

    def typed(handler: F) -> F:
        handler.__annotations__["body"] = patch_of(model)
        return handler

    return typed


def patched(model: type[B], present: Mapping[str, Any], patch: BaseModel) -> B:
    """`present` with the merge patch applied. Raises: Problem 422 with the path of each wrong field."""
    target = apply(present, patch.model_dump(mode="json", exclude_unset=True))
    try:
        return model.model_validate(target)
    except ValidationError as error:
        found = [("/" + "/".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        raise Problem(422, "what the patch makes breaks the schema", found) from error


def fields_of(model: type[BaseModel], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings inside a stored document; what is null is as if left out."""
    return {name: document[name] for name in model.model_fields if document.get(name) is not None}
