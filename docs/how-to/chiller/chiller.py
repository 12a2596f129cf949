"""The driver and the IOC of a chiller: `python chiller.py LAB:CHILL: 127.0.0.1 PORT [CA_PORT]`."""

import asyncio
import enum
import sys

from owlshift.ioc import AlarmStatus, Archive, CaServerSettings, Device, Ioc, PutRefused, readback, serve, setpoint


class ChillerError(Exception):
    """The chiller can't be asked, or refuses."""


class Driver:
    """Asks the chiller. Temperatures in degC. ChillerError when it is gone or refuses."""

    def __init__(self, host: str, port: int) -> None:
        self._address, self._lock = (host, port), asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: str) -> str:
        """The chiller's reply to one line; it has a second for it."""
        async with self._lock:
            try:
                async with asyncio.timeout(1.0):
                    reader, writer = self._streams = self._streams or await asyncio.open_connection(*self._address)
                    writer.write(question.encode() + b"\r\n")
                    reply = (await reader.readline()).decode(errors="replace").strip()
            except (OSError, TimeoutError) as error:
                reply = ""
                reason = str(error) or "no answer"
            else:
                reason = "the connection was closed"
            if not reply:
                if self._streams:
                    self._streams[1].close()
                self._streams = None
                raise ChillerError(reason)
        if reply.startswith("ERR"):
            raise ChillerError(f"refused: {reply[4:]}")
        return reply


class State(enum.IntEnum):
    """What the chiller does."""

    Stable = 0
    Working = 1


class Chiller(Device):
    """One chiller."""

    Temperature = readback(float, units="degC", precision=2, display=(0, 40), warn=(10, 30), alarm=(5, 35),
        archive=Archive.MONITOR, doc="Coolant at the outlet")  # fmt: skip
    Setpoint = setpoint(float, units="degC", precision=2, control=(5, 35), config=True, archive=Archive.MONITOR,
        doc="Requested coolant temperature")  # fmt: skip
    Setpoint_RBV = readback(float, units="degC", precision=2, doc="Setpoint in the chiller")
    State = readback(State, archive=Archive.MONITOR, doc="What the chiller does")

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    @Setpoint.putter
    async def _(self, value: float) -> None:
        try:
            await self.driver.ask(f"S={value:.2f}")
        except ChillerError as error:
            raise PutRefused(str(error)) from error

    async def poll(self) -> None:
        """Read everything, twice a second, for ever."""
        while True:
            try:
                await self.post(self.Temperature, float(await self.driver.ask("T?")))
                await self.post(self.Setpoint_RBV, float(await self.driver.ask("S?")))
                stable = await self.driver.ask("STATE?") == "STABLE"
                await self.post(self.State, State.Stable if stable else State.Working)
            except (ChillerError, ValueError):
                await self.invalidate([self.Temperature, self.Setpoint_RBV, self.State], AlarmStatus.COMM)
            await asyncio.sleep(0.5)


class ChillerIoc(Ioc):
    """The IOC: one chiller without a suffix."""

    def __init__(self, prefix: str, driver: Driver) -> None:
        self.chiller = Chiller(driver)
        super().__init__(prefix, [("", self.chiller)], backend="tcp")

    async def start(self) -> None:
        """Begin to read."""
        self.spawn(self.chiller.poll(), "poll")


if __name__ == "__main__":
    prefix, host, port, *ca_port = sys.argv[1:]
    settings = CaServerSettings(port=int(ca_port[0]) if ca_port else 5064)
    sys.exit(serve(ChillerIoc(prefix, Driver(host, int(port))), settings))
