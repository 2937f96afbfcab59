"""Where mails go: a mail server, or a folder of .eml files where none is configured."""

from __future__ import annotations

import contextlib
import os
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from health_pipeline.errors import SettingError, UserError
from health_pipeline.settings import MailSettings

_TIMEOUT_SECONDS = 60
_SHUTTING_DOWN = 421


class MailServerError(UserError):
    """The mail server can't be reached or used; nothing is on its way."""


class Refused(Exception):
    """This mail was certainly not taken. for_good: trying again would change nothing."""

    def __init__(self, reason: str, for_good: bool) -> None:
        super().__init__(reason)
        self.for_good = for_good


class OutcomeUnknown(Exception):
    """The connection broke when the mail may have been taken already."""


class Transport(Protocol):
    def open(self) -> None:
        """Get ready for the next mail. Raises MailServerError."""

    def send(self, message: EmailMessage, sender: str, recipients: Sequence[str]) -> list[str]:
        """Returns when the mail was taken for a recipient at least, with what was said of those it was refused for.

        Raises Refused, OutcomeUnknown or MailServerError.
        """

    def close(self) -> None: ...


def transport_of(mail: MailSettings, timeout_seconds: float = _TIMEOUT_SECONDS) -> Transport:
    """timeout_seconds: how long to wait for each answer of a mail server. Raises SettingError for a URL that can't be used."""
    return FolderTransport(mail.folder) if mail.smtp_url is None else SmtpTransport(mail.smtp_url, timeout_seconds)


class SmtpTransport:
    """One connection that is used for mail after mail. URL: smtp://[USER:PASSWORD@]HOST[:PORT], or smtps:// for TLS from
    the start; smtp:// turns to TLS where the server offers it, and passwords are only ever sent through TLS."""

    def __init__(self, url: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0:
            # Not repeated: it may hold a password.
            raise SettingError("HEALTH_SMTP_URL must be smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…")
        self._host = parts.hostname
        self._implicit_tls = parts.scheme == "smtps"
        self._port = port or (465 if self._implicit_tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._timeout = timeout_seconds
        self._server: smtplib.SMTP | None = None

    def open(self) -> None:
        self._connected()

    def send(self, message: EmailMessage, sender: str, recipients: Sequence[str]) -> list[str]:
        try:
            server, refusals = self._addressed(sender, recipients)
        except smtplib.SMTPServerDisconnected:
            # An idle connection that the server had closed: nothing has been sent yet, so one more try is safe.
            self.close()
            try:
                server, refusals = self._addressed(sender, recipients)
            except (smtplib.SMTPServerDisconnected, OSError) as error:
                raise Refused(f"the mail server closed the connection: {error}", for_good=False) from error
        try:
            self._check(*server.data(message.as_bytes()))
        except smtplib.SMTPDataError as error:
            self._check(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self.close()
            raise OutcomeUnknown(str(error)) from error
        return refusals

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _addressed(self, sender: str, recipients: Sequence[str]) -> tuple[smtplib.SMTP, list[str]]:
        """The server, told from whom and to whom the next mail is, and what it said of recipients that it refused."""
        server = self._connected()
        options = []
        if not (sender.isascii() and all(recipient.isascii() for recipient in recipients)):
            if not server.has_extn("smtputf8"):
                raise Refused("the mail server takes no address with characters beyond ASCII", for_good=True)
            options.append("SMTPUTF8")
        self._check(*server.mail(sender, options))
        refused = [reply for reply in map(server.rcpt, recipients) if not 200 <= reply[0] < 300]
        if len(refused) == len(recipients):
            self._check(*refused[0])
        return server, [_words(*reply) for reply in refused]

    def _check(self, code: int, reply: bytes | str) -> None:
        if 200 <= code < 300:
            return
        if code == _SHUTTING_DOWN or self._server is None:
            self.close()
        else:
            with contextlib.suppress(smtplib.SMTPServerDisconnected):
                self._server.rset()
        raise Refused(_words(code, reply), for_good=500 <= code < 600)

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            try:
                self._server = self._connect()
            except (OSError, smtplib.SMTPException) as error:
                raise MailServerError(f"the mail server can't be used (HEALTH_SMTP_URL): {error}") from error
        return self._server

    def _connect(self) -> smtplib.SMTP:
        tls = ssl.create_default_context()
        if self._implicit_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=tls)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            server.ehlo_or_helo_if_needed()
            encrypted = self._implicit_tls
            if not encrypted and server.has_extn("starttls"):
                server.starttls(context=tls)
                server.ehlo()
                encrypted = True
            if self._user:
                if not encrypted:
                    raise smtplib.SMTPException("it offers no TLS, and a password is not sent without")
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def _words(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return f"{code} {' '.join(text.split())}"


class FolderTransport:
    """A folder with an .eml file per mail, named by its Message-ID; a mail program opens them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MailServerError(f"the folder {self._folder} for mails can't be made: {error.strerror}") from error

    def send(self, message: EmailMessage, sender: str, recipients: Sequence[str]) -> list[str]:  # noqa: ARG002 - both are in its headers
        name = message["Message-ID"].strip("<>").partition("@")[0]
        file, unfinished = self._folder / f"{name}.eml", self._folder / f"{name}.part"
        try:
            unfinished.write_bytes(message.as_bytes())
            os.replace(unfinished, file)
        except OSError as error:
            raise MailServerError(f"{file} can't be written: {error.strerror}") from error
        return []

    def close(self) -> None:
        return
