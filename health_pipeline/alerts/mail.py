"""Mail to the addresses of HEALTH_ALERT_MAIL, over the transport of the weekly mails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from health_pipeline.alerts.events import Notice, without_addresses
from health_pipeline.emails.message import mail_address, plain_message, sender_of
from health_pipeline.emails.transport import MailServerError, Refused, transport_of
from health_pipeline.errors import SettingError
from health_pipeline.settings import MailSettings

# Of each answer: a server may be asked to connect again once.
_TIMEOUT_SECONDS = 8


class MailChannel:
    """One mail to all addresses, as SMTP or as a file: emails/transport.py."""

    name = "mail"

    def __init__(self, mail: MailSettings, addresses: Sequence[str]) -> None:
        self._mail = mail
        self._addresses = addresses

    def send(self, notice: Notice) -> str | None:
        """Returns when the mail was taken for an address at least, with what was said of the others.

        Raises Refused or OutcomeUnknown.
        """
        try:
            replies = self._sent(notice)
        except (SettingError, MailServerError) as error:
            raise Refused(without_addresses(str(error)), for_good=False) from error
        except Refused as error:
            raise Refused(without_addresses(str(error)), error.for_good) from error
        if not replies:
            return None
        return f"refused for {len(replies)} of {len(self._addresses)} addresses: {without_addresses(replies[0])}"

    def _sent(self, notice: Notice) -> list[str]:
        sender, transport = sender_of(self._mail), transport_of(self._mail, _TIMEOUT_SECONDS)
        recipients = [checked for address in self._addresses if (checked := mail_address(address))]
        if len(recipients) < len(self._addresses):
            raise SettingError("HEALTH_ALERT_MAIL must be addresses such as ann@acme.example, with commas between them")
        text = "\n".join([*notice.lines, "", notice.link, ""])
        message = plain_message(
            sender, recipients, notice.headline, text, f"<alert.{notice.identity}@{sender.domain}>", datetime.now(UTC)
        )
        try:
            transport.open()
            return transport.send(message, sender.address, recipients)
        finally:
            transport.close()
