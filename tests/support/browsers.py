"""Closing a window, without waiting for one that does not close."""

from __future__ import annotations

import asyncio
import warnings

from playwright.async_api import BrowserContext

PATIENCE = 10.0  # seconds; it takes a tenth of one


async def close(context: BrowserContext) -> None:
    """Close all pages of it. In the middle of a navigation Chromium (156, by Playwright 1.65) says nothing to that any
    more, once in a while and for ever; then the end of the browser will have to do."""
    try:
        async with asyncio.timeout(PATIENCE):
            await context.close()
    except TimeoutError:
        warnings.warn("a browser context did not close", stacklevel=2)
