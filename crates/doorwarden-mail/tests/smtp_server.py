"""An SMTP server on a port of 127.0.0.1, which it prints; then one line of JSON for each mail that it accepts.

    smtp_server.py [--port PORT] [--tls starttls|implicit] [--auth MECHANISM] [--utf8] [--mute]

The part before the @ of the recipient says what happens: see Handler. It ends with its standard input.
"""

import argparse
import asyncio
import json
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

TLS = Path(__file__).resolve().parents[3] / "tests/tls"
USER, PASSWORD = "kim@example.org", "p/w #2"


class Server(SMTP):
    closes = False

    async def push(self, status):
        await super().push(status)
        if self.closes:
            self.transport.close()

    def connection_lost(self, error):
        super().connection_lost(error)
        if self.closes:
            print(json.dumps({"closed": True}), flush=True)

    async def smtp_DATA(self, arg):
        if any(to.startswith("drop@") for to in self.envelope.rcpt_tos):
            await self.push("354 go on")
            await self._reader.readuntil(b"\r\n")
            self.transport.abort()
        else:
            await super().smtp_DATA(arg)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("forbidden@"):
            return "553 5.7.1 Sender <%s> is not yours" % address
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "missing":
            return "550-5.1.1 <%s>:\r\n550 5.1.1 no such user, says postmaster@example.org" % address
        if name == "busy":
            return "451 4.7.1 Try again later"
        if name == "login":
            return "530 5.7.0 Authentication required"
        if name == "slow":
            await asyncio.sleep(5)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        if name == "spam":
            return "554 5.7.1 The content looks like spam"
        if name == "full":
            return "452 4.3.1 Disk full"
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "content": envelope.content.decode(),
            "peer": session.peer[1],
            "hello": session.host_name,
            "encrypted": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data,
        }
        print(json.dumps(mail), flush=True)
        if name == "last":
            server.closes = True
        if name == "late":
            await asyncio.sleep(30)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (USER.encode(), PASSWORD.encode()):
        return AuthResult(success=True, auth_data=f"{USER} by {mechanism}")
    return AuthResult(success=False, handled=False)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["starttls", "implicit"])
    parser.add_argument("--auth", choices=["PLAIN", "LOGIN"])
    parser.add_argument("--utf8", action="store_true")
    parser.add_argument("--mute", action="store_true")
    arguments = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")

    def connection():
        if arguments.mute:
            return asyncio.Protocol()
        return Server(
            Handler(),
            hostname="localhost",
            enable_SMTPUTF8=arguments.utf8,
            tls_context=context if arguments.tls == "starttls" else None,
            require_starttls=arguments.tls == "starttls",
            auth_required=arguments.auth is not None,
            auth_require_tls=arguments.tls == "starttls",
            auth_exclude_mechanism={"PLAIN", "LOGIN"} - {arguments.auth},
            authenticator=authenticate,
        )

    implicit = context if arguments.tls == "implicit" else None
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", arguments.port, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
