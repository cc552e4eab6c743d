"""A model that streams at 30 tokens a second to any number of clients: `python -m benchmarks.model PORT`.

The question says how many: "400" is 400 tokens.
"""

from __future__ import annotations

import asyncio
import json
import sys

TOKENS = 100
PACE = 1 / 30


def _chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "bench", "choices": [choice]}
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_FIRST = _chunk({"role": "assistant", "content": ""})
_LAST = _chunk({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(length))
            tokens = int(body["messages"][-1]["content"])
            writer.write(_HEAD + _FIRST)
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number in range(tokens):
                await asyncio.sleep(began + number * PACE - loop.time())
                writer.write(_chunk({"content": f"token{number} "}))
                await writer.drain()
            writer.write(_LAST)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
