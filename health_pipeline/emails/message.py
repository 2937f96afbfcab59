"""From a row of the outbox to the message that a mail server takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from urllib.parse import quote

from health_pipeline.errors import SettingError
from health_pipeline.settings import MailSettings

_FOLDER_SENDER = "client-success@localhost"
# One address and nothing else: what could open a list, a comment or a further header is left out.
_ADDRESS = re.compile(r"[^\s@<>()\[\]\\,;:\"]+@[^\s@<>()\[\]\\,;:\"]+")
_LONGEST_ADDRESS = 254
# NAME <ADDRESS>, the name with or without quotes, or an address alone.
_SENDER = re.compile(r"(?:\"?(?P<name>[^<>\"\x00-\x1f]*)\"?\s*<(?P<named>[^<>]+)>|(?P<bare>[^<>]+))")


@dataclass(frozen=True)
class OutgoingMail:
    """A row of the outbox on its way. recipient: a checked address."""

    message_id: str
    client_id: str
    recipient: str
    subject: str
    html: str
    plain_text: str


@dataclass(frozen=True)
class Sender:
    """Who sends, checked. unsubscribe: as MailSettings says."""

    name: str
    address: str
    unsubscribe: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def sender_of(mail: MailSettings) -> Sender:
    """Raises SettingError where HEALTH_MAIL_FROM is missing or no address, or HEALTH_MAIL_UNSUBSCRIBE is no URL."""
    if mail.sender is None and mail.smtp_url is not None:
        raise SettingError("HEALTH_MAIL_FROM must be set where HEALTH_SMTP_URL is: the address that mails come from")
    found = _SENDER.fullmatch(mail.sender or _FOLDER_SENDER)
    address = mail_address(found["named"] or found["bare"]) if found else None
    if found is None or address is None:
        raise SettingError(
            f"HEALTH_MAIL_FROM must be an address such as 'Acme <news@acme.example>', but is {mail.sender!r}"
        )
    unsubscribe = mail.unsubscribe or f"mailto:{quote(address, safe='@')}?subject=unsubscribe"
    if not re.fullmatch(r"(mailto:|https://)[!-;=?-~]+", unsubscribe):
        raise SettingError(f"HEALTH_MAIL_UNSUBSCRIBE must be a mailto: or https: URL, but is {mail.unsubscribe!r}")
    return Sender((found["name"] or "").strip(), address, unsubscribe)


def mail_address(text: str) -> str | None:
    """The text as one address, its domain in ASCII; None where it isn't one."""
    address = text.strip()
    if len(address) > _LONGEST_ADDRESS or not address.isprintable() or not _ADDRESS.fullmatch(address):
        return None
    local, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode()
        # The parser takes ASCII alone; any other letter stands in a local part like an x.
        Address(addr_spec=f"{re.sub(r'[^ -~]', 'x', local)}@{domain}")
    except (UnicodeError, ValueError, IndexError, MessageError):
        return None
    return f"{local}@{domain}"


def _header_address(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, username=local, domain=domain)


def message_id(week: date, client_id: str, sender: Sender) -> str:
    """The Message-ID of the mail of this client and week: always the same."""
    digest = hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"<{week.isoformat()}.{digest}@{sender.domain}>"


def as_message(mail: OutgoingMail, sender: Sender, sent_at: datetime) -> EmailMessage:
    """The message: plain text with HTML as its alternative, in lines and bytes that every mail server passes on."""
    message = plain_message(sender, [mail.recipient], mail.subject, mail.plain_text, mail.message_id, sent_at)
    unsubscribe = sender.unsubscribe.replace("{client_id}", quote(mail.client_id, safe=""))
    message["List-Unsubscribe"] = f"<{unsubscribe}>"
    if unsubscribe.startswith("https://"):
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.add_alternative(mail.html, subtype="html")
    return message


def plain_message(
    sender: Sender, recipients: Sequence[str], subject: str, text: str, identity: str, sent_at: datetime
) -> EmailMessage:
    """A message of plain text. recipients: checked addresses. identity: its Message-ID."""
    is_ascii = sender.address.isascii() and all(recipient.isascii() for recipient in recipients)
    message = EmailMessage(policy=(SMTP if is_ascii else SMTPUTF8).clone(cte_type="7bit"))
    message["From"] = _header_address(sender.address, sender.name)
    message["To"] = [_header_address(recipient) for recipient in recipients]
    message["Subject"] = subject
    message["Date"] = format_datetime(sent_at)
    message["Message-ID"] = identity
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message
