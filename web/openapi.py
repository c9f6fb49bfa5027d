"""OpenAPI 3.1 and the readable reference, both generated from the route tables; nothing is written by hand twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from web.access import EVERY_ROLE, Access, Owner, RoomToken, needs_sign_in, roles_of, words
from web.idempotency import HEADER as IDEMPOTENCY_KEY
from web.idempotency import REPLAYED
from web.problems import CONTENT_TYPE
from web.routing import Contract, Route
from web.schemas.base import ProblemDocument

Json: TypeAlias = dict[str, Any]
_VARIABLE = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_TEXT: Json = {"schema": {"type": "string"}}
_UUID: Json = {"type": "string", "format": "uuid"}
_REF = "#/components/schemas/{model}"


def document(routes: Iterable[Route], *, server_url: str, version: str) -> Json:
    """The OpenAPI document of all routes that have a contract."""
    described = [(route, route.contract) for route in routes if route.contract is not None]
    schemas, definitions = _schemas(contract for _, contract in described)
    paths: dict[str, Json] = {}
    for route, contract in described:
        path = _VARIABLE.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, contract, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Visavis",
            "version": version,
            "description": (
                "Self-hosted mentoring. Instants are RFC 3339 UTC, durations seconds, money whole tokens."
                " Lists are paged by `cursor`. Refusals are problem documents (RFC 9457) with a stable `code` and,"
                " for bad input, all faults in `errors`. Limits answer 429 with `Retry-After`."
            ),
        },
        "servers": [{"url": server_url}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route, _ in described)],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "room_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `room_token` that joining a session gives.",
                },
            },
        },
    }


_Schemas: TypeAlias = Mapping[tuple[type[BaseModel], JsonSchemaMode], Json]


def _schemas(contracts: Iterable[Contract]) -> tuple[_Schemas, Json]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemDocument, "serialization"): None}
    for contract in contracts:
        if contract.body is not None:
            wanted[contract.body, "validation"] = None
        if contract.query is not None:
            wanted[contract.query, "validation"] = None
        if contract.reply is not None:
            wanted[contract.reply, "serialization"] = None
    made, definitions = models_json_schema(list(wanted), ref_template=_REF)
    schemas = {(model, mode): made[model, mode] for model, mode in wanted}
    return schemas, definitions.get("$defs", {})


def _operation(route: Route, contract: Contract, schemas: _Schemas) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": "\n\n".join(
            filter(None, (contract.description, f"Who may call it: {words(route.access)}"))
        ),
        "tags": [route.tag],
        "parameters": _parameters(route, contract, schemas),
        "responses": _responses(route, contract, schemas),
        "security": _security(route.access),
    }
    if contract.sends:
        operation["requestBody"] = {"required": True, "content": {contract.sends: _TEXT}}
    if contract.body is not None:
        operation["requestBody"] = {
            "required": bool(schemas[contract.body, "validation"].get("required", True)),
            "content": {"application/json": {"schema": schemas[contract.body, "validation"]}},
        }
    return operation


def _security(access: Access) -> list[Json]:
    if isinstance(access, RoomToken):
        return [{"room_token": []}]
    return [{"bearer": []}] if needs_sign_in(access) else []


def _operation_id(route: Route) -> str:
    words_ = re.findall(r"\w+", route.path.removeprefix("/api/v1"))
    return "_".join([route.method.lower(), *words_])


def _parameters(route: Route, contract: Contract, schemas: _Schemas) -> list[Json]:
    found: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _UUID if name == "id" else {"type": "string"},
        }
        for name in _VARIABLE.findall(route.path)
    ]
    if contract.query is not None:
        properties = contract.query.model_json_schema(ref_template=_REF)
        required = properties.get("required", [])
        for name, schema in properties["properties"].items():
            plain = dict(schema)
            parameter: Json = {"name": name, "in": "query", "required": name in required, "schema": plain}
            if text := plain.pop("description", None):
                parameter["description"] = text
            found.append(parameter)
    if contract.idempotent:
        found.append(
            {
                "name": IDEMPOTENCY_KEY,
                "in": "header",
                "required": False,
                "description": (
                    "Makes a retry harmless: the same key with the same body gets the first answer,"
                    f" marked `{REPLAYED}: true`."
                ),
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }
        )
    return found


def refusals(route: Route, contract: Contract) -> dict[int, tuple[str, ...]]:
    """Every refusal of a route by status: what its table says and what its declaration implies."""
    found: dict[int, list[str]] = {}
    if needs_sign_in(route.access):
        found.setdefault(401, []).append("sign_in_required")
        if roles_of(route.access) != EVERY_ROLE:
            found.setdefault(403, []).append("role_required")
    if isinstance(route.access, Owner) or _VARIABLE.search(route.path):
        found.setdefault(404, [])
    if contract.body is not None:
        found.setdefault(400, []).append("malformed_json")
        found.setdefault(413, []).append("body_too_large")
        found.setdefault(415, []).append("unsupported_media_type")
    if contract.body is not None or contract.query is not None:
        found.setdefault(422, []).append("invalid_input")
    for status, codes in contract.refusals.items():
        found.setdefault(status, []).extend(codes)
    return {status: tuple(dict.fromkeys(codes)) for status, codes in sorted(found.items())}


def _responses(route: Route, contract: Contract, schemas: _Schemas) -> Json:
    good: Json = {"description": HTTPStatus(contract.status).phrase}
    if contract.reply is not None:
        good["content"] = {"application/json": {"schema": schemas[contract.reply, "serialization"]}}
    if contract.replies:
        good["content"] = {contract.replies: _TEXT}
    if contract.headers:
        good["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in contract.headers.items()
        }
    problem = {CONTENT_TYPE: {"schema": schemas[ProblemDocument, "serialization"]}}
    responses: Json = {str(contract.status): good}
    for status, codes in refusals(route, contract).items():
        listed = ", ".join(f"`{code}`" for code in codes)
        responses[str(status)] = {"description": listed or HTTPStatus(status).phrase, "content": problem}
    responses["default"] = {"description": "Any other refusal", "content": problem}
    return responses
