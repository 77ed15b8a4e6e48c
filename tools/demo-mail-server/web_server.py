"""HTTP/1.1 (RFC 9112): one page that shows how many mails there are, and the bare number at /count."""

import email.utils
import html

from connection import Connection, Hangup

HEADER_LIMIT = 100  # lines
BODY_LIMIT = 1024 * 1024
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Demo mail server</title></head>
<body><h1>Demo mail server</h1>
<p>The mailbox of <b>{user}</b> holds <b id="count">{count}</b> mail(s), {unseen} of them unread.</p>
</body></html>
"""


class WebConnection(Connection):
    too_long = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    async def serve(self):
        while True:
            request = (await self.read_line()).strip()
            if not request:
                self.count_error(b"")  # RFC 9112 section 2.2 lets empty lines come first
                continue
            keep = await self.read_header()
            words = request.split()
            if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
                await self.answer(400, "Bad Request", "This is no HTTP/1.1 request.\n", keep=False)
                return
            keep = keep and words[2] != b"HTTP/1.0"
            await self.respond(words[0], words[1].partition(b"?")[0], keep)
            if not keep:
                return

    async def read_header(self):
        """Reads the fields and leaves out the body; True when the connection may be used again."""
        keep, body = True, 0
        for _ in range(HEADER_LIMIT):
            line = (await self.read_line()).strip()
            if not line:
                if body > BODY_LIMIT:
                    return False
                await self.reader.readexactly(body)
                return keep
            name, _, value = line.partition(b":")
            if name.lower() == b"connection" and b"close" in value.lower():
                keep = False
            elif name.lower() == b"content-length" and value.strip().isdigit():
                body = int(value)
            elif name.lower() == b"transfer-encoding":
                keep = False  # what follows such a body could not be told from it
        raise Hangup(self.too_long)

    async def respond(self, method, path, keep):
        head = method == b"HEAD"
        inbox = self.store.inbox
        if method not in (b"GET", b"HEAD"):
            await self.answer(405, "Method Not Allowed", "GET and HEAD only.\n", keep, head)
        elif path == b"/":
            page = PAGE.format(user=html.escape(self.store.user), count=len(inbox.messages),
                               unseen=inbox.unseen())
            await self.answer(200, "OK", page, keep, head, "text/html; charset=utf-8")
        elif path == b"/count":
            await self.answer(200, "OK", f"{len(inbox.messages)}\n", keep, head)
        else:
            await self.answer(404, "Not Found", "There are / and /count.\n", keep, head)

    async def answer(self, status, reason, text, keep=True, head=False, kind="text/plain"):
        body = text.encode()
        lines = [f"HTTP/1.1 {status} {reason}", f"Date: {email.utils.formatdate(usegmt=True)}",
                 f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Cache-Control: no-store"]
        if status == 405:
            lines.append("Allow: GET, HEAD")
        if not keep:
            lines.append("Connection: close")
        out = ("\r\n".join(lines) + "\r\n\r\n").encode()
        await self.send(out if head else out + body)
