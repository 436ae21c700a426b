"""One HTTP exchange with one endpoint; errors are permanent or worth a retry."""

from __future__ import annotations

import os
import re
from typing import Any

import aiohttp
import orjson

from finehard.errors import FinehardError
from finehard.fleet.connections import (
    FAILURES,
    NOT_CONNECTED,
    Connections,
    TooLong,
    describe,
    is_lost,
    read_body,
    retry_after,
)
from finehard.lmm.config import ModelConfig
from finehard.lmm.message import error

_FILTERED = re.compile(
    r"content.?filter|content management policy|content.?policy|moderation|flagged|responsible.?ai"
    r"|data.?inspection.?failed|inappropriate content|sensitive.?content"
    r"|(?:content|image|prompt|input) violat\w+ .{0,30}(?:guidelines|polic)"
    r"|safety system|guardrail.?intervened|violated guardrail",
    re.IGNORECASE,
)
"""Words of a filter that refuses what is in a request, as Azure, OpenRouter, OpenAI, DashScope,
Volcengine, xAI, Bedrock and LiteLLM send them."""

_NO_CREDIT = re.compile(
    r"insufficient.{0,3}(quota|credit|balance|funds)|exceeded your current quota", re.IGNORECASE
)
"""Words of a 429 that no waiting cures, as OpenAI sends them."""

_TAGS = re.compile(rb"<(style|script)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Transient(Exception):
    """A failure that a retry may cure.

    `reason` is the reject reason, `words` are the server's own, `retry_after_s` is the pause that
    an overloaded server asked for. `lost` is true if the connection broke before a response, or was
    not made at all (`connected` is false then). `stated` is true where the server itself says that
    it failed, in a response with status 200.
    """

    elsewhere = True

    def __init__(
        self,
        reason: str,
        detail: str,
        words: str = "",
        retry_after_s: float | None = None,
        connected: bool = True,
        lost: bool = False,
        stated: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.words = words
        self.retry_after_s = retry_after_s
        self.connected = connected
        self.lost = lost
        self.stated = stated


class Refused(Exception):
    """A refusal, of this request or of every one: see `finehard.lmm.control`.

    `words` are the server's own. `elsewhere` says that they speak of the endpoint (a wrong key, no
    such model): another one, or the same one later, may accept the request.
    """

    retry_after_s = None
    connected = True
    lost = False

    def __init__(self, reason: str, detail: str, words: str, elsewhere: bool) -> None:
        super().__init__(detail)
        self.reason = reason
        self.words = words
        self.elsewhere = elsewhere


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
        authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._connections = Connections(
            config.timeout_s,
            {"Content-Type": "application/json"} | authorization,
            config.trust_env,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._connections.close()

    async def chat(self, url: str, body: bytes) -> dict[str, Any]:
        """Returns the response of the endpoint at `url` to a chat request.

        Raises `Transient` or `Refused`.
        """
        try:
            async with self._connections.session().post(
                f"{url}/chat/completions", data=body, allow_redirects=False
            ) as response:
                data = await read_body(response)
                if response.status != 200:
                    retry_after_s = retry_after(response)
                    raise self._status_error(url, response.status, retry_after_s, data)
        except TooLong as failure:
            raise Transient("server_error", str(failure)) from None
        except FAILURES as failure:
            reason = "timeout" if isinstance(failure, TimeoutError) else "server_error"
            connected = not isinstance(failure, NOT_CONNECTED)
            detail = f"{url}: {describe(failure)}"
            raise Transient(reason, detail, connected=connected, lost=is_lost(failure)) from None
        try:
            reply = orjson.loads(data)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise Transient("server_error", f"{url}: the reply is not a JSON object")
        if failed := error(reply):  # a gateway's 200 around its provider's failure
            status, words = failed
            stated = self._status_error(url, status, 1.0 if status == 429 else None, words.encode())
            if isinstance(stated, Transient):
                stated.stated = status != 429
            raise stated
        served = reply.get("model") or None
        if served is not None and not (isinstance(served, str) and self._config.serves(served)):
            name = self._excerpt(str(served).encode("utf-8", "replace"))
            detail = (
                f"{url} answered as model {name!r}, not {self._config.model!r}; if that is the "
                "same model, add the name to answers_as"
            )
            raise Refused("wrong_model", detail, "", elsewhere=True)
        return reply

    async def problem(self, url: str) -> str | None:
        """Returns what is wrong with the endpoint at `url`; None if nothing is seen.

        Asks for the list of models. Where that is missing, fails or does not name the model, as it
        does on sound servers too, a trivial question decides.
        """
        hint = (
            f"is the server running, and are the endpoints of model {self._config.model!r} right?"
        )
        try:
            async with self._connections.session().get(
                f"{url}/models",
                timeout=aiohttp.ClientTimeout(total=min(15.0, self._config.timeout_s)),
                allow_redirects=False,
            ) as response:
                body = await read_body(response)
                problem = self._list_problem(url, response.status, body)
        except FAILURES as failure:
            return f"no model server at {url} ({describe(failure)}); {hint}"
        except TooLong:
            problem = f"{url}/models returned no model list"
        if problem is None:
            return None
        if await self._answers(url):
            return None
        return f"{problem}; {'' if 'api_key' in problem else hint}".rstrip("; ")

    def _list_problem(self, url: str, status: int, body: bytes) -> str | None:
        """Returns what is wrong with a list of models; None if it names the model."""
        if status != 200:
            return f"{url}/models answered {status}; {self._key_hint(status)}".rstrip("; ")
        try:
            served = [str(entry["id"]) for entry in orjson.loads(body)["data"]]
        except (ValueError, AttributeError, TypeError, KeyError):
            return f"{url}/models returned no model list"
        if served and not any(map(self._config.serves, served)):
            return f"{url} serves {served[0]!r}, not {self._config.model!r}"
        return None

    async def _answers(self, url: str) -> bool:
        """Returns whether a trivial request is answered. A server that just failed may have closed
        the connection that is tried first."""
        for last in (False, True):
            try:
                await self.chat(url, trivial(self._config))
            except (Transient, Refused) as failed:
                if last or failed.reason != "server_error":
                    return False
            else:
                return True
        raise AssertionError("unreachable")

    def _status_error(
        self, url: str, status: int, retry_after_s: float | None, data: bytes
    ) -> Transient | Refused:
        words = self._excerpt(data, 2000)
        if status == 429 and _NO_CREDIT.search(words):
            status = 402
        detail = f"{url} answered {status}: {words[:200].rstrip()}"
        if hint := self._key_hint(status):
            detail += f"; {hint}"
        if status == 429 or (status == 503 and retry_after_s is not None):
            return Transient("server_error", detail, "", retry_after_s or 1.0)
        if status == 408 or status >= 500:
            return Transient("server_error", detail, words)
        if _FILTERED.search(words):
            return Refused("refused_by_model", detail, "", elsewhere=False)
        elsewhere = status in (401, 402, 403, 404) or status < 400
        return Refused("request_refused", detail, words, elsewhere)

    def _key_hint(self, status: int) -> str:
        """Returns what to check about the API key, "" if `status` does not speak of it."""
        if status not in (401, 402, 403):
            return ""
        variable = self._config.api_key_env
        if status == 402:
            return (
                f"is the account of the API key{f' in {variable}' if variable else ''} in credit?"
            )
        if variable:
            return f"is the API key in {variable} (api_key_env) right, and may it use this model?"
        return f"does model {self._config.model!r} need api_key_env, the variable with its API key?"

    def _excerpt(self, data: bytes, length: int = 200) -> str:
        """Returns the start of a server's response on one line, without the API key."""
        if self._key:
            data = data.replace(self._key.encode(), b"***")
        if data.lstrip()[:1] == b"<":  # a gateway's page
            data = _TAGS.sub(b" ", data[:100_000])
        return " ".join(data[:length].decode("utf-8", "replace").split())


def trivial(config: ModelConfig, token_field: str = "max_tokens") -> bytes:
    """Returns the body of a request that any server of the model answers."""
    chat = [{"role": "user", "content": "Say yes."}]
    body = {"model": config.model, "messages": chat, token_field: 4, **config.extra_body}
    return orjson.dumps({name: value for name, value in body.items() if value is not None})
