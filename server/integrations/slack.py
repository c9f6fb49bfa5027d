"""Slack: one incoming webhook, for the people who run the place."""

from __future__ import annotations

from typing import Final

from server.integrations.channel import Dials, Form, Message, Rate, Traits
from server.integrations.posting import post
from server.settings import Settings

TRAITS: Final = Traits("Slack", Form.LONG, Dials.TEAM, disturbs=False)
RATE: Final = Rate(per_second=1, burst=5)  # Slack's own limit is one a second, short bursts tolerated
MAX_TEXT: Final = 4000  # characters; Slack cuts what is longer than 40,000, people stop long before


class SlackWebhook:
    """Posts a text. The answer is ``ok`` or an error's name; there is no message id and no receipt."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def rate(self) -> Rate:
        return RATE

    async def send(self, message: Message) -> str:
        """Our own id for the message. ``invalid_payload`` is refused; a webhook that is gone lets nothing pass."""
        text = f"*{_escaped(message.subject)}*\n{_escaped(message.text.strip())}"[:MAX_TEXT]
        answer = await post(self._url, message.date, json_body={"text": text})
        if not answer.ok:
            raise answer.failure(answer.text.strip()[:100])
        return str(message.id)


def _escaped(text: str) -> str:
    """The three characters that mean something in Slack's texts: nobody's name becomes <!channel>."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def channel(settings: Settings) -> SlackWebhook | None:
    """Slack where VISAVIS_SLACK_WEBHOOK_URL is set."""
    url = settings.providers.slack_webhook_url
    return SlackWebhook(url) if url is not None else None
