"""A webhook that takes Slack's JSON. Its URL is a secret: no error, log or record ever repeats it, nor what the server says."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from health_pipeline.alerts.events import Notice
from health_pipeline.emails.transport import OutcomeUnknown, Refused

_TIMEOUT_SECONDS = 10
# The request itself may have begun when the connection breaks like this; any other failure to connect comes before it.
_BROKEN = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
# A gateway that waited in vain doesn't know; and some services answer what they took with "look there for the result".
_UNKNOWN_STATUSES = {HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, HTTPStatus.GATEWAY_TIMEOUT}


class _NoRedirects(HTTPRedirectHandler):
    """A message, and the secret in its URL's path, goes nowhere but to the host that was set."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - whatever it is
        return None


class WebhookChannel:
    """Posts messages to a URL, through the proxy that the environment names, if any."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = build_opener(_NoRedirects)

    def send(self, notice: Notice) -> str | None:
        """Returns when the server has taken the message. Raises Refused or OutcomeUnknown."""
        body = json.dumps({"text": slack_text(notice)}).encode()
        try:
            # The settings have checked that it is http: or https:.
            request = Request(self._url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
            self._opener.open(request, timeout=_TIMEOUT_SECONDS).close()
        except HTTPError as error:
            error.close()
            raise _answer(error.code) from None
        except URLError as error:
            words = getattr(error.reason, "strerror", None) or type(error.reason).__name__
            if isinstance(error.reason, _BROKEN):
                raise OutcomeUnknown(f"the connection broke: {words}") from None
            raise Refused(f"the webhook can't be reached: {words}", for_good=False) from None
        except TimeoutError:
            raise OutcomeUnknown(f"no answer within {_TIMEOUT_SECONDS} seconds") from None
        except (ConnectionError, ssl.SSLError):
            raise OutcomeUnknown("the connection broke before an answer") from None
        except (InvalidURL, ValueError):
            raise Refused("HEALTH_ALERT_WEBHOOK is no URL that can be posted to", for_good=False) from None
        except HTTPException:
            raise OutcomeUnknown("the answer is not HTTP") from None
        return None


def slack_text(notice: Notice) -> str:
    """The message in Slack's mrkdwn: a bold headline, a line per event, the link."""
    lines = [f"*{_escaped(notice.headline)}*", *map(_escaped, notice.lines), _escaped(notice.link)]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """The three characters that mean something to Slack: without them nothing mentions a channel or hides a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _answer(status: int) -> Refused | OutcomeUnknown:
    known = {each.value: each.phrase for each in HTTPStatus}
    words = f"{status} {known.get(status, '')}".strip()
    if 300 <= status < 400:
        words += ", and redirects are not followed: set HEALTH_ALERT_WEBHOOK to the last URL"
    return OutcomeUnknown(words) if status in _UNKNOWN_STATUSES else Refused(words, for_good=False)
