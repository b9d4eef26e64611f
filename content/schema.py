"""The grammar of `guide.yaml` as JSON Schema, for editors that complete and explain keys while one writes."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

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
    for model in _models(Guide):
        properties = (made if model is Guide else made["$defs"][model.__name__])["properties"]
        for name, field in model.model_fields.items():
            for fills in field.metadata:
                if isinstance(fills, Fills):
                    properties[name]["description"] = "Placeholders: " + ", ".join(f"{{{x}}}" for x in fills.names)
    return {"$schema": GenerateJsonSchema.schema_dialect, **made}


def schema_text() -> str:
    """What `content/guide.schema.json` must contain, to the last byte."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    kinds: list[object] = [field.annotation for field in model.model_fields.values()]
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _models(kind)
        kinds.extend(get_args(kind))
    return found
