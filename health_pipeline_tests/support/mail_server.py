"""A real mail server on this machine, which can be told to refuse."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HANG_UP = "hang up"


def hang_up(server: SMTP) -> None:
    """Close the connection without a word."""
    cast(asyncio.Transport, server.transport).abort()


class MailServer:
    """Takes mails and keeps them; `answer` may refuse one (a reply), and is told at which command it is asked."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.answer: Callable[[str, str], str | None] = lambda command, address: None

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        reply = self.answer("MAIL", address) or "250 OK"
        if reply == HANG_UP:
            hang_up(server)
        return reply

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answer("RCPT", address) or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        refusal = self.answer("DATA", envelope.rcpt_tos[0])
        if refusal == HANG_UP:
            hang_up(server)
        if refusal is None:
            message = message_from_string(cast(bytes, envelope.content).decode(), policy=default)
            assert [address.addr_spec for address in message["To"].addresses] == envelope.rcpt_tos
            self.received.append(message)
            self.answer("TAKEN", envelope.rcpt_tos[0])
        return refusal or "250 OK"

    @property
    def copies(self) -> Counter[str]:
        """How often each address was sent to."""
        return Counter(str(message["To"]) for message in self.received)


@contextmanager
def running_mail_server() -> Iterator[tuple[MailServer, str]]:
    """A running mail server and its URL."""
    handler = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port, enable_SMTPUTF8=True)
    controller.start()
    yield handler, f"smtp://127.0.0.1:{port}"
    controller.stop()
