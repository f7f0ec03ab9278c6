"""Clients that post until each post is acknowledged, and note the answers. For database_gone."""

import asyncio
import json
import time
from collections import Counter

import httpx2

from tests.torture.services import request_until_answered
from tests.torture.workers import SMALL

CLIENTS = 6
PAUSE_SECONDS = 0.1  # of a client between two posts, so that the training gets most of the cores


class PostingClients:
    """All clients together.

    answered: the experiment of each acknowledged key. answers: how many answers had each status. mute: how many
    answers of 503 had no Retry-After. answer_seconds: the longest answer. are_done: set it to end the clients.
    """

    def __init__(self, port, *, timeout_seconds):
        self._url, self._timeout_seconds = f"http://127.0.0.1:{port}", timeout_seconds
        self._posted_at = [-1.0] * CLIENTS  # when the newest acknowledged post of each client was first sent
        self.answered = {}
        self.answers = Counter()
        self.mute, self.answer_seconds = 0, 0.0
        self.are_done = False

    async def post(self, index):
        """Post as one client until they are done."""
        async with httpx2.AsyncClient(base_url=self._url, timeout=self._timeout_seconds) as connection:
            client = _Client(connection, self)
            while not self.are_done:
                posted_at, key = time.time(), f"key {len(self.answered)} of {index}"
                status = 500
                while status == 500:  # it is counted as an error, and a client would post again
                    status, answer = await request_until_answered(
                        client, "POST", "/experiments", SMALL, idempotency_key=key
                    )
                assert status == 201, answer
                self.answered[key], self._posted_at[index] = json.loads(answer)["id"], posted_at
                await asyncio.sleep(PAUSE_SECONDS)

    async def all_acknowledged_since(self, moment):
        """Wait until each client has got an answer to a post that it sent after the moment, and return the time."""
        while min(self._posted_at) < moment:
            await asyncio.sleep(0.01)
        return time.time()

    def note(self, response):
        """Count one answer."""
        self.answers[response.status_code] += 1
        self.mute += response.status_code == 503 and "retry-after" not in response.headers
        self.answer_seconds = max(self.answer_seconds, response.elapsed.total_seconds())


class _Client:
    """A client with the interface of services.Client, whose answers are noted with their headers."""

    def __init__(self, connection, clients):
        self._connection, self._clients = connection, clients

    async def request(self, method, path, body=None, **headers):
        """Return the status and the body. Raise OSError if the service ends before it has answered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            response = await self._connection.request(method, path, json=body, headers=named)
        except httpx2.TransportError as error:
            raise OSError(str(error)) from error
        self._clients.note(response)
        return response.status_code, response.content
