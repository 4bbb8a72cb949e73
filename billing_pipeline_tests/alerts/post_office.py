"""A mail server and a webhook on real sockets, which keep what they are given and refuse on demand."""

import asyncio
import base64
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PostOffice:
    """An SMTP server on loopback. `mails` are those it has taken; `refuses` is the command it answers 550 to."""

    def __init__(self, *, certificate: Path | None = None, implicit_tls: bool = False) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[str] = []
        self.refuses: str | None = None
        self.silent = False
        self._context = None
        if certificate is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(certificate)
        self._implicit = implicit_tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    @contextmanager
    def open(self, port: int = 0) -> Iterator["PostOffice"]:
        if not self._thread.is_alive():
            self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._context if self._implicit else None),
            self._loop,
        ).result()
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.silent:
                await asyncio.sleep(3600)
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(text: str) -> None:
            writer.write(text.encode() + b"\r\n")

        answer("220 post office")
        recipients: list[str] = []
        while line := (await reader.readline()).decode().strip():
            command, _, rest = line.partition(" ")
            command = command.upper()
            if command == self.refuses:
                answer("535 5.7.8 no: the dialogue was hunter2" if command == "AUTH" else "550 no")
            elif command == "EHLO":
                offers = ["STARTTLS"] if self._context and not self._implicit else []
                answer("\r\n".join(f"250-{offer}" for offer in ("post office", *offers, "AUTH PLAIN")))
                answer("250 8BITMIME")
            elif command == "STARTTLS":
                answer("220 go ahead")
                await writer.drain()
                await writer.start_tls(self._context)
            elif command == "AUTH":
                self.logins.append(base64.b64decode(rest.split()[1]).decode())
                answer("235 welcome")
            elif command == "RCPT":
                recipients.append(rest)
                answer("250 ok")
            elif command == "DATA":
                answer("354 go ahead")
                content = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(message_from_bytes(content, policy=policy.default))  # type: ignore[arg-type]
                self.recipients.append(recipients)
                recipients = []
                answer("250 taken")
            else:
                answer("221 bye" if command == "QUIT" else "250 ok")
                if command == "QUIT":
                    return
            await writer.drain()


def self_signed(folder: Path) -> Path:
    """A certificate and its key for 127.0.0.1 in one file, made anew: no key stands in the repository."""
    path = folder / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(folder / "public.pem"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    with path.open("a") as file:
        file.write((folder / "public.pem").read_text())
    return path


class Receiver:
    """A webhook. `posts` are (path, body) it was given; `status` is what it answers."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((self.path, body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/s3cr3t-token"

    @contextmanager
    def open(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
