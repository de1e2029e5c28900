"""What every connector that talks over a network shares: backoff with jitter and answers of bounded size."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from connectors._limits import MAX_FRAME
from monitor.core.errors import Malformed, Unavailable


def patiently(longest: float) -> AsyncRetrying:
    """Return an endless retry of Unavailable with full jitter, doubling from one to ``longest`` seconds."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=min(1.0, longest), max=longest),
        reraise=True,
    )


async def read_bounded(response: aiohttp.ClientResponse, limit: int = MAX_FRAME) -> bytes:
    """Return the body of ``response``, decompressed, or raise Malformed once it grows over ``limit`` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65_536):
        size += len(chunk)
        if size > limit:
            raise Malformed(f"the answer is longer than {limit} bytes", "too_large")
        chunks.append(chunk)
    return b"".join(chunks)


LONGEST_WAIT = timedelta(days=1)


def retry_at(text: str | None, now: datetime) -> datetime:
    """Return the moment that a ``Retry-After`` header means: at most a day away, a minute when it says nothing."""
    wait = timedelta(seconds=60)
    if text and text.strip().isascii() and text.strip().isdigit():
        wait = timedelta(seconds=min(int(text.strip()[:9]), 86_400))
    elif text:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            wait = parsedate_to_datetime(text).astimezone(UTC) - now
    return now + min(max(wait, timedelta(seconds=1)), LONGEST_WAIT)
