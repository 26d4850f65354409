"""Close connections whose clients do not send the headers of a request in time, for which uvicorn has no limit."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with this limit, for the argument `http` of its `Config`.

    Args:
      seconds: until the headers must be complete, from the opening of a connection or the first byte of a later
        request on it. Between requests, uvicorn's own limit applies.
    """

    class PromptHeaders(H11Protocol):
        headers_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.headers_due = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            incomplete = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
            if incomplete and self.headers_due is None:
                self.headers_due = self.loop.call_later(seconds, self.transport.close)
            elif not incomplete:
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _stop_waiting(self) -> None:
            if self.headers_due is not None:
                self.headers_due.cancel()
                self.headers_due = None

    return PromptHeaders
