"""One HTTP exchange with one endpoint; errors are permanent or worth a retry."""

from __future__ import annotations

import os
import re
from typing import Any

import aiohttp
import orjson

from finehard.errors import FinehardError
from finehard.lmm.config import ModelConfig
from finehard.lmm.question import RequestFailed

MAX_BODY = 4 << 20
"""The most bytes read of a response; no valid one is longer."""

_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


class Transient(Exception):
    """A failure that a retry may cure.

    `reason` is the reject reason, `retry_after_s` the pause that an overloaded server asked for.
    `connected` is false if no connection was made, so that the request cannot be at fault.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        retry_after_s: float | None = None,
        connected: bool = True,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.connected = connected


class Transport:
    """The connections to a model's endpoints. Used on one event loop only.

    Raises `FinehardError` if the environment variable with the API key is not set.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._key = os.environ.get(config.api_key_env or "", "").strip()
        if config.api_key_env and not self._key:
            raise FinehardError(
                f"the environment variable {config.api_key_env} is not set: it must contain "
                f"the API key of model {config.model}"
            )
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def chat(self, url: str, body: bytes) -> dict[str, Any]:
        """Returns the response of the endpoint at `url` to a chat request.

        Raises `Transient`, or `RequestFailed` if the server refuses this request.
        """
        try:
            async with self._http().post(
                f"{url}/chat/completions", data=body, allow_redirects=False
            ) as response:
                data = await _body(response)
                if response.status != 200:
                    raise self._status_error(url, response, data)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "timeout" if isinstance(error, TimeoutError) else "server_error"
            connected = not isinstance(error, _NOT_CONNECTED)
            raise Transient(reason, f"{url}: {_describe(error)}", connected=connected) from None
        try:
            reply = orjson.loads(data)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise Transient("server_error", f"{url}: the reply is not a JSON object")
        served = reply.get("model")  # `transformers serve` sends NAME@REVISION
        if served is not None and str(served).split("@")[0] != self._config.model.split("@")[0]:
            name = self._excerpt(str(served).encode("utf-8", "replace"))
            raise Transient("wrong_model", f"{url} answered as model {name!r}")
        return reply

    async def problem(self, url: str) -> str | None:
        """Returns what is wrong with the endpoint at `url`; None if it serves the model."""
        model = self._config.model
        hint = f"is the server running, and are the endpoints of model {model!r} right?"
        try:
            async with self._http().get(
                f"{url}/models",
                timeout=aiohttp.ClientTimeout(total=min(15.0, self._config.timeout_s)),
                allow_redirects=False,
            ) as response:
                body = await _body(response)
                if response.status != 200:
                    hint = self._key_hint(response.status) or hint
                    return f"{url}/models answered {response.status}; {hint}"
                served = [m.get("id") for m in orjson.loads(body).get("data", [])]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"no model server at {url} ({_describe(error)}); {hint}"
        except (ValueError, AttributeError, TypeError, Transient):
            return f"{url}/models returned no model list; {hint}"
        if served and model not in served:
            return f"{url} serves {served[0]!r}, not {model!r}; {hint}"
        return None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            # compressed responses are neither requested nor read: they could be decompression bombs
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
            timeout_s = self._config.timeout_s
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                headers=headers | authorization,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s)),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _status_error(self, url: str, response: aiohttp.ClientResponse, data: bytes) -> Exception:
        status, retry_after_s = response.status, _retry_after(response)
        detail = f"{url} answered {status}: {self._excerpt(data)}"
        if hint := self._key_hint(status):
            detail += f"; {hint}"
        if status == 429 or (status == 503 and retry_after_s is not None):
            return Transient("server_error", detail, retry_after_s or 1.0)
        if status == 408 or status >= 500:
            return Transient("server_error", detail)
        if status in (401, 404) or status < 400:  # a fault of the endpoint: another may work
            return Transient("request_refused", detail)
        return RequestFailed("request_refused", detail)

    def _key_hint(self, status: int) -> str:
        """Returns what to check about the API key, "" if `status` is not 401."""
        if status != 401:
            return ""
        if self._config.api_key_env:
            return f"is the API key in {self._config.api_key_env} (api_key_env) right?"
        return f"does model {self._config.model!r} need api_key_env, the variable with its API key?"

    def _excerpt(self, data: bytes) -> str:
        """Returns the start of a server's response on one line, without the API key."""
        if self._key:
            data = data.replace(self._key.encode(), b"***")
        return " ".join(data[:200].decode("utf-8", "replace").split())


async def _body(response: aiohttp.ClientResponse) -> bytes:
    chunks, length = [], 0
    async for chunk in response.content.iter_chunked(1 << 16):
        chunks.append(chunk)
        length += len(chunk)
        if length > MAX_BODY:
            response.close()
            raise Transient("server_error", f"the response has more than {MAX_BODY} bytes")
    return b"".join(chunks)


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 300.0) if _SECONDS.fullmatch(value) else None
