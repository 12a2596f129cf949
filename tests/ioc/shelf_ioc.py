"""An IOC that offers a million PVs: `python shelf_ioc.py PREFIX`. `IOC:Msg` counts what has been made."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from owlshift.ioc import CaServerSettings, Ioc, OnDemand, PutRefused, Pv, Text, command, readback, serve, setpoint

BOOKS = 100_000
WORDS = {"Title", "Read", "Note", "Count", "Open", "Story"}


class Book(OnDemand):
    """A book."""

    Title = readback(Text(100), initial="", doc="Its title")
    Count = readback(int, initial=0, alarm=(None, 100), doc="How often it was read")
    Note = setpoint(Text(100), initial="", asg="OPERATOR", doc="A note")
    Read = command(doc="Reads it")
    Open = setpoint(bool, initial=False, doc="Open")

    Story = readback(Text(100), initial="", doc="Made when it is read")

    def __init__(self, shelf: Shelf, number: int) -> None:
        self.shelf, self.number = shelf, number

    def made(self, pv: Pv[Any]) -> None:
        if pv.declaration.attribute == "Title":
            pv.preset(f"Book {self.number}")
        elif pv.declaration.attribute == "Count":
            pv.preset(self.shelf.counts.get(self.number, 0))

    @Read.putter
    async def _(self) -> None:
        await asyncio.sleep(0)
        self.shelf.read(self.number)

    @Story.getter
    async def _(self) -> str:
        await asyncio.sleep(0)
        if self.number == 13:
            raise RuntimeError("no story")
        self.shelf.told += 1
        return f"Story {self.shelf.told} of book {self.number}"

    @Note.putter
    async def _(self, value: str) -> str:
        if value == "dirty":
            raise PutRefused(f"book {self.number} must stay clean")
        return value.strip()


class Shelf(Ioc):
    """All books."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.counts: dict[int, int] = {}
        self.told = 0
        self.books: WeakValueDictionary[int, Book] = WeakValueDictionary()
        self.provide(self.find)

    def find(self, name: str) -> Callable[[], Pv[Any]] | None:
        kind, _, rest = name.removeprefix(self.prefix).partition(":")
        number, _, word = rest.partition(":")
        if kind == "B" and number.isdecimal() and int(number) < BOOKS and word in WORDS:
            return lambda: self.book(int(number)).pvs[word]
        if kind == "Boom":
            raise RuntimeError("the finder fails")
        return None

    def book(self, number: int) -> Book:
        found = self.books.get(number)
        if found is None:
            found = self.books[number] = Book(self, number)
        return found

    def read(self, number: int) -> None:
        self.counts[number] = self.counts.get(number, 0) + 1
        book = self.books.get(number)
        if book is not None and "Count" in book.pvs:
            self.spawn(self.post(book.Count, self.counts[number]), "count")

    async def start(self) -> None:
        self.spawn(self.follow(), "follow")

    async def follow(self) -> None:
        said = ""
        while True:
            gc.collect()
            text = f"{self.names.made} PVs of {len(self.books)} books"
            if text != said:
                self.tell(text)
                said = text
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(serve(Shelf(sys.argv[1]), CaServerSettings("127.0.0.1", int(os.environ["EPICS_CA_SERVER_PORT"]))))
