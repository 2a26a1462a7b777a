"""Every operation of the OpenAPI document, and how to ask it something that it understands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

DOCUMENT = json.loads((Path(__file__).parents[1] / "openapi" / "openapi.json").read_text(encoding="utf-8"))
QUICK = "/quiet /length 3 /rate 0"


@frozen
class Door:
    """One operation."""

    method: str
    path: str
    operation: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.operation["operationId"])

    @property
    def leads_to_a_session(self) -> bool:
        return "{session_id}" in self.path or "session_id" in self._schema("application/json").get("properties", {})

    @property
    def is_open(self) -> bool:
        return not self.operation.get("security")

    def _schema(self, media_type: str) -> dict[str, Any]:
        schema = self.operation.get("requestBody", {}).get("content", {}).get(media_type, {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        return dict(DOCUMENT["components"]["schemas"][name] if name else schema)

    def request(self, http: httpx.AsyncClient, session: str, run: str) -> httpx.Request:
        values = {"session_id": session, "run_id": run}
        path = re.sub(r"{(\w+)}", lambda found: values.get(found[1], "nothing"), self.path)
        body: dict[str, Any] = {}
        if (schema := self._schema("application/json")) != {}:
            required = {name: schema["properties"][name] for name in schema.get("required", [])}
            body["json"] = {name: values.get(name, _example(kind)) for name, kind in required.items()}
        elif (form := self._schema("multipart/form-data")) != {}:
            body["files"] = dict.fromkeys(form["required"], ("note.txt", b"a note", "text/plain"))
        return http.build_request(self.method.upper(), path, **body)

    async def ask(self, http: httpx.AsyncClient, session: str, run: str) -> tuple[int, str, Any]:
        """Status, media type and, of a refusal, the body."""
        answer = await http.send(self.request(http, session, run), stream=True)
        try:
            media_type = answer.headers.get("content-type", "")
            body = None if answer.is_success else json.loads(await answer.aread())
            return answer.status_code, media_type, body
        finally:
            await answer.aclose()


def _example(kind: dict[str, Any]) -> Any:
    return {"string": QUICK, "boolean": True, "integer": 1}[kind["type"]]


def doors() -> Iterator[Door]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield Door(method, path, operation)


def named(door: Door) -> str:
    """The id of a test about it."""
    return door.name
