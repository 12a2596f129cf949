"""Deleting an object of an S3 store, and nothing else.

Arrow's own deletion writes an object for the "folder" afterwards, which stores that keep objects as files refuse.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import ssl
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

TIMEOUT = 20.0
"""Seconds."""


def can_delete() -> bool:
    """Whether the environment has credentials; others, such as those of a machine's role, only Arrow knows."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def delete(path: str, options: dict[str, Any]) -> None:
    """Delete `path` (bucket/key) of the store that `options` (those of Arrow's S3FileSystem) describe.

    One that isn't there is fine. OSError when the store doesn't answer or refuses.
    """
    region = options.get("region", "us-east-1")
    host = options.get("endpoint_override") or f"s3.{region}.amazonaws.com"
    secure = options.get("scheme", "https") == "https"
    target = "/" + quote(path, safe="/-_.~")
    headers = _signed(host, target, region)
    if secure:
        context = ssl.create_default_context(cafile=options.get("tls_ca_file_path"))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT)
    try:
        connection.request("DELETE", target, headers=headers)
        answer = connection.getresponse()
        text = answer.read(500)
    except http.client.HTTPException as error:
        raise OSError(f"deleting {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 300 and answer.status != 404:
        raise OSError(f"deleting {path}: status {answer.status}, {text.decode(errors='replace')}")


def _signed(host: str, target: str, region: str) -> dict[str, str]:
    """The headers of a DELETE request, signed with version 4 of AWS' signatures."""
    now = datetime.now(UTC)
    moment, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": nothing, "x-amz-date": moment}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"DELETE\n{target}\n\n{lines}\n{names}\n{nothing}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return headers
