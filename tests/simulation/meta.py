"""What Meta posts to us about WhatsApp: receipts, and buttons that people press."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any


def receipt(wamid: str, status: str, at: datetime) -> bytes:
    told_at = str(int(at.timestamp()))
    entry: dict[str, Any] = {"id": wamid, "status": status, "timestamp": told_at, "recipient_id": "1"}
    if status == "failed":
        entry["errors"] = [{"code": 131026, "title": "Message undeliverable"}]
    value = {"messaging_product": "whatsapp", "statuses": [entry]}
    change = {"field": "messages", "value": value}
    document = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    return json.dumps(document).encode()


def yes_of(body: dict[str, Any], number: str | None, session_id: str) -> str | None:
    """What the first button of a question about the session says, when it went to that number."""
    if number is None or body.get("to") != number.removeprefix("+") or "template" not in body:
        return None
    parts = body["template"]["components"]
    texts = [p.get("text", "") for part in parts if part["type"] == "body" for p in part["parameters"]]
    payloads = [p["payload"] for part in parts if part["type"] == "button" for p in part["parameters"]]
    return str(payloads[0]) if payloads and any(session_id in text for text in texts) else None


def reply(name: str, answered: str, number: str, payload: str) -> bytes:
    message = {
        "from": number.removeprefix("+"), "id": name, "type": "button", "context": {"id": answered},
        "button": {"payload": payload, "text": "Yes"},
    }  # fmt: skip
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "messages": [message]}}
    document = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    return json.dumps(document).encode()
