"""How a mistake in billing.yaml is told: the key at fault by its path and, for an unknown one, the nearest that exists."""

import difflib
import types
import typing
from collections.abc import Iterator
from datetime import date
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError


class StrictLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | date):
                continue
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def explain(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    """One clause per mistake."""
    errors = error.errors(include_url=False, include_input=False)
    # A list whose members failed counts as empty to pydantic; its members' own errors say what is wrong.
    inner = {one["loc"][0] for one in errors if len(one["loc"]) > 1}
    for one in errors:
        if one["type"] == "too_short" and len(one["loc"]) == 1 and one["loc"][0] in inner:
            continue
        location = [part for part in one["loc"] if part not in ("netwo", "orange_b2b", "r189_files")]
        key = _dotted(location)
        if one["type"] == "extra_forbidden":
            names = _known_keys(one["loc"], root)
            near = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
            yield f"unknown key {key!r}; {hint}"
        elif one["type"] == "missing":
            yield f"{key!r} is missing"
        else:
            yield f"{key!r}: {one['msg'].removeprefix('Value error, ')}"


def _dotted(location: list[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _known_keys(location: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    """The keys allowed beside an unknown one: follow its location through the models' fields."""
    models = [root]
    for part in location[:-1]:
        annotations = [model.model_fields[str(part)].annotation for model in models if str(part) in model.model_fields]
        named = [model for model in models if _discriminator(model) == part]
        inner = [found for annotation in annotations for found in _models_in(annotation)]
        models = inner or named or models
    return [name for name in models[0].model_fields if name != "path"]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models an annotation speaks of: itself, the members of a union or a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]
    return []


def _discriminator(model: type[BaseModel]) -> str | None:
    """What `type` must be for this model, where it has such a field."""
    chosen = model.model_fields.get("type")
    return typing.get_args(chosen.annotation)[0] if chosen is not None else None
