"""The letter box against real servers: Dovecot for reading and Postfix for sending, on this machine only.

Needs the Debian packages dovecot-imapd and postfix and the rights of root; everything else lies in a folder of its own
under /tmp and is gone at the end. Run it with: .venv/bin/python tests/real/mailbox.py
"""

from __future__ import annotations

import asyncio
import imaplib
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import SMTP
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from connectors import notify_mail
from connectors.mailbox import Mailbox, connector
from monitor.core.alerts import StaffMessage
from monitor.core.errors import Unavailable
from monitor.core.model import EffectKind
from monitor.core.ports import ChannelConfig, NotifierConfig
from monitor.testing.desk import Desk, effect

DOMAIN = "campus.test"
BOX, MEMBER, PASSWORD = f"gonghui@{DOMAIN}", f"zhang@{DOMAIN}", "a-code-of-the-box"
UID = GID = 8  # the system's user for mail

DOVECOT = """
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot-state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:{folder}/mail/%u
first_valid_uid = {uid}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service auth {{
  unix_listener {folder}/postfix-queue/private/auth {{
    mode = 0666
  }}
}}
"""

POSTFIX = """
compatibility_level = 3.6
queue_directory = {folder}/postfix-queue
data_directory = {folder}/postfix-data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mx.{domain}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = inline:{{ {{ {box} = {box}/ }}, {{ {member} = {member}/ }} }}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = {uid}
virtual_transport = virtual
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {folder}/cert.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtp_host_lookup = native
"""

MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def say(*words: object) -> None:
    print(*words, flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


def write_certificate(folder: Path) -> None:
    """Make an authority's own certificate for 127.0.0.1, as a university with its own authority would."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "campus test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    (folder / "key.pem").chmod(0o600)


class Servers:
    """Dovecot and Postfix in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imap, self.imaps, self.smtp = free_port(), free_port(), free_port()

    def _fill(self, text: str) -> str:
        return text.format(
            folder=self.folder,
            imap=self.imap,
            imaps=self.imaps,
            smtp=self.smtp,
            domain=DOMAIN,
            box=BOX,
            member=MEMBER,
            password=PASSWORD,
            uid=UID,
            gid=GID,
        )

    def start(self) -> None:
        self.folder.chmod(0o755)
        write_certificate(self.folder)
        for name in ("mail", "postfix-queue", "postfix-data", "postfix"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "mail", UID, GID)
        shutil.chown(self.folder / "postfix-data", "postfix")
        (self.folder / "dovecot.conf").write_text(self._fill(DOVECOT))
        (self.folder / "postfix" / "main.cf").write_text(self._fill(POSTFIX))
        (self.folder / "postfix" / "master.cf").write_text(self._fill(MASTER))
        self._postfix("check")
        (self.folder / "postfix-queue" / "private").mkdir(exist_ok=True)
        self.start_dovecot()
        self._postfix("start")
        for port in (self.imap, self.imaps, self.smtp):
            wait_for(port)

    def start_dovecot(self) -> None:
        subprocess.run(["dovecot", "-c", str(self.folder / "dovecot.conf")], check=True)

    def stop_dovecot(self) -> None:
        subprocess.run(["doveadm", "-c", str(self.folder / "dovecot.conf"), "stop"], check=False)

    def _postfix(self, word: str) -> None:
        subprocess.run(["postfix", "-c", str(self.folder / "postfix"), word], check=True, capture_output=True)

    def stop(self) -> None:
        self.stop_dovecot()
        subprocess.run(
            ["postfix", "-c", str(self.folder / "postfix"), "stop"], check=False, capture_output=True
        )

    # --- the member's mail program -------------------------------------------------------------------

    def post(self, sender: str, to: str, data: bytes) -> None:
        """Send a letter as a mail program does."""
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=30) as smtp:
            smtp.starttls(context=self.trust())
            smtp.login(sender, PASSWORD)
            smtp.sendmail(sender, [to], data)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "cert.pem"))

    def letters_of(self, user: str, folder: str = "INBOX") -> list[tuple[str, Message]]:
        """Return (flags, letter) of a user's folder, as the user sees them."""
        with imaplib.IMAP4_SSL("127.0.0.1", self.imaps, ssl_context=self.trust(), timeout=30) as imap:
            imap.login(user, PASSWORD)
            imap.select(folder, readonly=True)
            found = []
            for number in imap.search(None, "ALL")[1][0].split():
                row: Any = imap.fetch(number.decode(), "(FLAGS BODY.PEEK[])")[1][0]
                found.append((row[0].decode().split("(", 2)[2].split(")")[0], message_from_bytes(row[1])))
            return found

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.imaps,
            "user": BOX,
            "password": PASSWORD,
            "name": "校工会信箱",
            "smtp_host": "127.0.0.1",
            "smtp_port": self.smtp,
            "smtp_security": "starttls",
            "trusted_ca": str(self.folder / "cert.pem"),
            "poll_seconds": 0.2,
            "call_seconds": 20.0,
            "retry_seconds": 0.5,
            **more,
        }

    def box(self, **more: Any) -> Mailbox:
        return connector(ChannelConfig("box", "mailbox", self.settings(**more)))


def wait_for(port: int) -> None:
    for _time in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nobody listens on port {port}")


def letter(words: str, subject: str, **headers: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = f"张伟 <{MEMBER}>", BOX, subject
    made["Message-ID"] = f"<{time.time_ns()}@{DOMAIN}>"
    made["Date"] = datetime.now(UTC)
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(words, charset="utf-8")
    return made.as_bytes()


def gb2312_letter() -> bytes:
    """Return a letter as old Chinese programs write it: labelled gb2312, with signs that are not in it."""
    head = (
        f"From: {MEMBER}\r\nTo: {BOX}\r\nSubject: =?gb2312?B?{'zazLrg=='}?=\r\nMessage-ID: <gb@{DOMAIN}>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return (
        head.encode()
        + "喆老师说：三食堂二楼又停水了。\r\n\r\n------------------ 原始邮件 ------------------\r\n旧话".encode(
            "gb18030"
        )
    )


async def main(servers: Servers) -> None:
    say("check:", (health := await servers.box().check()).ok, health.message)
    assert health.ok
    for wrong, key in (({"password": "x", "smtp_password": PASSWORD}, "IMAP"), ({"trusted_ca": ""}, "TLS")):
        told = await servers.box(**wrong).check()
        say(f"check with a fault ({key}):", told.ok, told.message)
        assert not told.ok
    desk, box = Desk(), servers.box()
    first = letter("二楼从昨天起没有水。\n\n-- \n张伟\n后勤处", "三食堂停水")
    async with desk.at_work(box):
        for data in (first, gb2312_letter(), letter("我在休假", "Re: x", Auto_Submitted="auto-replied")):
            servers.post(MEMBER, BOX, data)
        await desk.until(lambda: len(desk.texts) == 2 and box.counts["ignored.auto_reply"] == 1, 60.0)
    for post in desk.posts:
        say(
            "read:",
            repr(post.text),
            "quoted:",
            repr(post.quoted),
            "at:",
            post.posted_at,
            "handle:",
            post.handle,
        )
    say("flags in the box:", [flags for flags, _letter in servers.letters_of(BOX)])
    assert not any("Seen" in flags for flags, _letter in servers.letters_of(BOX))

    asked = next(post for post in desk.posts if "昨天" in post.text)
    answer = effect(
        EffectKind.REPLY,
        "box",
        handle=asked.handle,
        text="【工会答复】已转后勤处，今天 18 点前修好。\n编号〔H-7〕",
    )
    say("read back before:", await box.read_back(answer))
    receipts = {await servers.box().perform(answer, None) for _time in range(3)}
    say("receipts of three attempts:", receipts, "read back after:", await box.read_back(answer))
    for _time in range(100):
        if servers.letters_of(MEMBER):
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)
    inbox = servers.letters_of(MEMBER)
    say("letters the member got:", len(inbox))
    assert len(inbox) == 1
    got, asked_id = inbox[0][1], message_from_bytes(first)["Message-ID"]
    for name in ("From", "To", "Subject", "Message-ID", "In-Reply-To", "References"):
        say(f"  {name}: {got[name]}")
    say("  words:", str(got.get_payload(decode=True), "utf-8").strip())
    assert got["In-Reply-To"] == got["References"] == asked_id
    sent = servers.letters_of(BOX, "Sent")
    say("copies in Sent:", [(flags, each["Message-ID"] == got["Message-ID"]) for flags, each in sent])
    assert len(sent) == 1
    assert "Draft" not in sent[0][0]

    servers.stop_dovecot()
    try:
        await servers.box(call_seconds=2.0).perform(answer, None)
    except Unavailable as error:
        say("while the server is down:", error)
    servers.start_dovecot()
    wait_for(servers.imaps)
    async with desk.at_work(servers.box()):
        thanks = letter(
            "谢谢，来水了。\n\n在 2026年11月25日，校工会信箱 <gonghui@campus.test> 写道：\n> 已转后勤处",
            "Re: 三食堂停水",
        )
        threaded = (
            f"In-Reply-To: {got['Message-ID']}\r\nReferences: {asked_id} {got['Message-ID']}\r\n".encode()
        )
        servers.post(MEMBER, BOX, threaded + thanks)
        await desk.until(lambda: len(desk.texts) == 3, 60.0)
    last = desk.posts[-1]
    say(
        "read after the restart:",
        repr(last.text),
        "same thread:",
        last.thread == asked.thread,
        "answers:",
        last.reply_to == asked.external_id,
    )
    assert last.thread == asked.thread

    validity = (servers.folder / "mail" / BOX / "dovecot-uidlist").read_text().split("\n")[0]
    servers.stop_dovecot()
    for name in (
        "dovecot-uidlist",
        "dovecot.index",
        "dovecot.index.log",
        "dovecot.index.cache",
        "dovecot-uidvalidity",
    ):
        (servers.folder / "mail" / BOX / name).unlink(missing_ok=True)
    for each in (servers.folder / "mail" / BOX).glob("dovecot-uidvalidity*"):
        each.unlink()
    await asyncio.sleep(1.1)
    servers.start_dovecot()
    wait_for(servers.imaps)
    async with desk.at_work(servers.box()):
        servers.post(MEMBER, BOX, letter("还有一件事", "别的"))
        await desk.until(lambda: len(desk.texts) == 4, 60.0)
    now = (servers.folder / "mail" / BOX / "dovecot-uidlist").read_text().split("\n")[0]
    say(
        "UIDVALIDITY changed:",
        validity,
        "->",
        now,
        "posts now:",
        len(desk.texts),
        "handed over:",
        sum(desk.handed.values()),
    )
    assert len(desk.texts) == 4
    second = effect(EffectKind.REPLY, "box", 8, handle=asked.handle, text="第二次答复〔H-8〕")
    await servers.box().perform(second, None)
    say("answered by the old handle after that:", await servers.box().read_back(second))

    nowhere = letter("x", "y", Reply_To=f"nobody@{DOMAIN}")
    servers.post(MEMBER, BOX, nowhere)
    async with desk.at_work(servers.box()):
        await desk.until(lambda: len(desk.texts) == 5, 60.0)
        lost = effect(EffectKind.REPLY, "box", 9, handle=desk.posts[-1].handle, text="第三次〔H-9〕")
        try:
            say("to an address that does not exist:", await servers.box().perform(lost, None))
            await desk.until(lambda: desk.broken, 60.0)
            say("came back as:", desk.broken[-1].reason)
        except Exception as error:
            say("to an address that does not exist:", type(error).__name__, error)
    say("listening errors:", desk.errors)
    await notified(servers)


async def notified(servers: Servers) -> None:
    """Let the notifier for mail send one message, and show it as a colleague sees it."""
    before = len(servers.letters_of(MEMBER))
    given = {
        "host": "127.0.0.1",
        "port": servers.smtp,
        "security": "starttls",
        "sender": BOX,
        "password": PASSWORD,
        "name": "回音",
        "to": [MEMBER],
        "trusted_ca": str(servers.folder / "cert.pem"),
    }
    telling = notify_mail.notifier(NotifierConfig("office", "mail", given))
    counts = {"urgent_case": 3}
    message = StaffMessage(
        "n1",
        "回音：有紧急事项，请尽快处理",
        "新的紧急事项 3 件",
        "https://x.example",
        counts,
        datetime.now(UTC),
    )
    await telling.send(message)
    for _time in range(100):
        if len(servers.letters_of(MEMBER)) > before:
            break
        await asyncio.sleep(0.2)
    got = servers.letters_of(MEMBER)[-1][1]
    words = str(got.get_payload(decode=True), "utf-8").split()
    say(
        "notification by mail:", got["Auto-Submitted"], str(make_header(decode_header(got["Subject"]))), words
    )
    assert words[-1] == "https://x.example"


if __name__ == "__main__":
    if not (shutil.which("dovecot") and shutil.which("postfix")):
        sys.exit("install the Debian packages dovecot-imapd and postfix first")
    place = Path(tempfile.mkdtemp(prefix="huiyin-mail-", dir="/tmp"))
    at_work = Servers(place)
    try:
        at_work.start()
        say(
            "dovecot", subprocess.run(["dovecot", "--version"], capture_output=True, text=True).stdout.strip()
        )
        say(subprocess.run(["postconf", "mail_version"], capture_output=True, text=True).stdout.strip())
        asyncio.run(main(at_work))
        say("all as it should be")
    except BaseException:
        for log in ("dovecot.log", "postfix.log"):
            if (place / log).exists():
                say((place / log).read_text()[-3000:])
        raise
    finally:
        at_work.stop()
        shutil.rmtree(place, ignore_errors=True)
