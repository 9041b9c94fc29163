"""Sends each new alert of fleet_alert to a webhook, at least once and normally once.

An alert is one POST of one JSON object to ALERT_WEBHOOK. With ALERT_WEBHOOK_SECRET set, the header
X-Signature-256 is `sha256=` and the hexadecimal HMAC-SHA256 of the body.
"""

import hashlib
import hmac
import json
import os
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

import urllib3
from psycopg2.extensions import connection
from urllib3.exceptions import HTTPError

QUERY = (Path(__file__).parent / "alerts.sql").read_text(encoding="utf-8")
FIELDS = ("battery_id", "kind", "since", "value", "threshold", "description")
TAKEN = "insert into forecast.alert_delivery values (%s, %s, %s) on conflict do nothing"
RETRIES = urllib3.Retry(
    total=4,
    backoff_factor=0.5,  # at once, then after 1, 2 and 4 s
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # POST too: the receiver knows an alert by battery_id, kind and since
    raise_on_status=False,
    redirect=False,
    respect_retry_after_header=False,  # the next run comes soon enough
)
TIMEOUT_S = 10.0


def send(database: connection) -> int:
    """Send what is open and not delivered yet, if ALERT_WEBHOOK is set; return the exit status.

    What was taken is remembered at once; what was not is sent again by the next run.
    """
    address = os.environ.get("ALERT_WEBHOOK")
    if not address:
        return 0
    if not address.startswith(("https://", "http://")):
        print(
            "ALERT_WEBHOOK must begin with https:// or http://: nothing was sent", file=sys.stderr
        )
        return 1
    with database, database.cursor() as cursor:
        cursor.execute(QUERY)
        alerts = [dict(zip(FIELDS, row, strict=True)) for row in cursor.fetchall()]
    if not alerts:
        return 0
    delivered, fault = 0, ""
    with urllib3.PoolManager(retries=RETRIES, timeout=TIMEOUT_S) as pool:
        for alert in alerts:
            try:
                status = _post(pool, address, alert)
            except HTTPError as error:
                fault = _reason(error)
                break
            if status >= 300:
                fault = f"status {status}"
                if status >= 500:  # the next alert would wait as long, and get no further
                    break
                continue
            with database, database.cursor() as cursor:
                cursor.execute(TAKEN, [alert[name] for name in FIELDS[:3]])
            delivered += 1
    print(f"alerts: {delivered} sent")
    if fault:
        print(
            f"what ALERT_WEBHOOK names did not take every alert ({fault}): "
            f"{len(alerts) - delivered} left to the next run",
            file=sys.stderr,
        )
    return 1 if fault else 0


def _post(pool: urllib3.PoolManager, address: str, alert: dict[str, Any]) -> int:
    """Send one alert; return the status of the answer, or raise HTTPError where there is none."""
    body = json.dumps(alert | {"since": alert["since"].astimezone(UTC).isoformat()}).encode()
    headers = {"Content-Type": "application/json"}
    if secret := os.environ.get("ALERT_WEBHOOK_SECRET"):
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Signature-256"] = f"sha256={signature}"
    return pool.request("POST", address, body=body, headers=headers).status


def _reason(error: HTTPError) -> str:
    """What is at the bottom of an error, without the address: its path is often a password."""
    if reason := getattr(error, "reason", None):
        return str(reason).rpartition(": ")[2]
    return type(error).__name__
