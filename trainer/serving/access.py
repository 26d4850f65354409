"""Check that requests carry the token."""

import hmac

from fastapi import HTTPException, Request


class Access:
    """Checks the token of each request, if the server has one."""

    def __init__(self, token: str | None) -> None:
        self.expected = f"Bearer {token}".encode() if token else None

    def check(self, request: Request) -> None:
        """Check that a request carries the token.

        Raises:
          HTTPException: 401, it does not.
        """
        given = request.headers.get("authorization", "").encode()
        if self.expected and not hmac.compare_digest(given, self.expected):
            detail = {"reason": "unauthorized", "detail": "send the header Authorization: Bearer TOKEN"}
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
