"""A chiller that answers `T?`, `S?`, `S=21.5` and `STATE?` over TCP, and cools or heats by 0.2 degC/s."""

import asyncio
import re
import sys
import time


class Model:
    """Temperature, in degC, that follows its setpoint. Time is the caller's, in seconds."""

    def __init__(self, now: float) -> None:
        self.temperature, self.target, self._then = 22.0, 22.0, now

    def step(self, now: float) -> None:
        """Let time pass until `now`."""
        room, self._then = 0.2 * (now - self._then), now
        self.temperature += max(-room, min(room, self.target - self.temperature))


def answer(model: Model, line: str) -> str:
    """The reply to one line."""
    model.step(time.monotonic())
    if line == "T?":
        return f"{model.temperature:.2f}"
    if line == "S?":
        return f"{model.target:.2f}"
    if line == "STATE?":
        return "STABLE" if abs(model.target - model.temperature) < 0.05 else "WORKING"
    if match := re.fullmatch(r"S=(-?\d+(?:\.\d+)?)", line):
        if not 5 <= float(match[1]) <= 35:
            return "ERR range"
        model.target = float(match[1])
        return "OK"
    return "ERR command"


async def main(port: int) -> None:
    """Serve until ended."""
    model = Model(time.monotonic())

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(answer(model, line.decode(errors="replace").strip()).encode() + b"\r\n")
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", port)
    print(f"ready tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
