"""The grammar of `guide.yaml` as JSON Schema, for editors that complete and explain keys while one writes."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

import content.model
from content.model import Fills, Guide

Schema = dict[str, Any]


class _Grammar(GenerateJsonSchema):
    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        # JSON Schema's own "time" wants seconds and an offset, and editors underline "09:00" for it.
        return {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" in made:     # else a key that is no id would pass unseen
            made["additionalProperties"] = False
        return made


def schema() -> Schema:
    """JSON Schema, draft 2020-12, of the whole guide; each sentence of the voice tells its placeholders."""
    made = Guide.model_json_schema(schema_generator=_Grammar)
    explained = _explained()
    for model in _models(Guide):
        properties = (made if model is Guide else made["$defs"][model.__name__])["properties"]
        for name, field in model.model_fields.items():
            if text := explained.get((model.__name__, name)):
                properties[name]["description"] = text
            for fills in field.metadata:
                if isinstance(fills, Fills):
                    properties[name]["description"] = "Placeholders: " + ", ".join(f"{{{x}}}" for x in fills.names)
    return {"$schema": GenerateJsonSchema.schema_dialect, **made}


def schema_text() -> str:
    """What `content/guide.schema.json` must contain, to the last byte."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _explained() -> dict[tuple[str, str], str]:
    """(class, field) → the docstring below the field. Pydantic can read them too, but does so at every import of the
    model, and doubles the time that takes."""
    found = {}
    for kind in ast.parse(inspect.getsource(content.model)).body:
        if isinstance(kind, ast.ClassDef):
            for field, below in pairwise(kind.body):
                if (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
                    found[kind.name, field.target.id] = inspect.cleandoc(str(below.value.value))
    return found


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    kinds: list[object] = [field.annotation for field in model.model_fields.values()]
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _models(kind)
        kinds.extend(get_args(kind))
    return found
