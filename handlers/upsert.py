"""Write messages into SQLite so that a message that comes twice counts once.

Delivery is at least once, whatever delivers: a process that dies between its work and the delete sees the message
again. Here the message's id and its effect are written in one transaction, so that the second time changes nothing.
The database is the file named by the environment variable DATABASE (by default orders.db).

Try it twice: `pollers invoke handlers.upsert.handle --app-dir . --event handlers/events/upsert.json`
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS seen (message TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, quantity INTEGER NOT NULL);
"""


def handle(event: dict[str, Any], context: Any) -> dict[str, int]:
    """One transaction for the batch: all of it or, if anything raises, nothing. Returns how many were new."""
    with closing(sqlite3.connect(os.environ.get("DATABASE", "orders.db"), timeout=10)) as database:
        database.executescript(TABLES)
        with database:
            return {"new": sum(apply(database, record) for record in event["Records"])}


def apply(database: sqlite3.Connection, record: dict[str, Any]) -> bool:
    """Add an order's quantity, unless this very message has done so before. Whether it was new."""
    fresh = database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (record["messageId"],)).rowcount == 1
    if fresh:
        order = json.loads(record["body"])
        database.execute(
            "INSERT INTO orders VALUES (:id, :quantity)"
            " ON CONFLICT (id) DO UPDATE SET quantity = quantity + excluded.quantity",
            order,
        )
    return fresh
