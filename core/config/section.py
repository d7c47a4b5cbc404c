"""What every section of the configuration is: frozen, validated, without unknown fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """A field is described by the docstring below it, or by `description=`: the text of form, help and config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields.values():
            if field.description:
                field.description = " ".join(field.description.split())  # a docstring of several lines is one text


def section_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of a field that is a section of fields; None for a field with a value of its own, or for no field."""
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
