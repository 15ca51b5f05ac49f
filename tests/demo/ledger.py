"""The ledger: the two tables whose transactions are all there or not there at all.

One transaction writes a row in ledger_transaction and several in ledger_row, with a
checksum over all of them, so that half a transaction can be told on a restored copy. The
workload writes it, the server module creates it, the verifier asks it; it runs nothing.
"""

from __future__ import annotations

import hashlib

ROWS_PER_TRANSACTION = 8

TABLES = """
create table ledger_transaction (
    id bigint primary key, rows_expected integer not null, checksum text not null);
create table ledger_row (
    transaction_id bigint not null, position integer not null, payload text not null,
    primary key (transaction_id, position));
create extension amcheck;
"""

# Written before and after the transaction's own row, in three statements: a copy that lost
# any part of a transaction is then seen to have lost it.
INSERT_ROWS = """
insert into ledger_row
select %s::bigint, position, md5(%s::bigint || ':' || position)
  from generate_series(%s::integer, %s::integer) as position
"""
INSERT_TRANSACTION = "insert into ledger_transaction values (%s, %s, %s)"

# A transaction is whole when its own row is there with all of its rows and their checksum;
# the full join also finds rows whose transaction is missing.
HALF_THERE = """
select coalesce(t.id, r.transaction_id)
  from ledger_transaction t
  full join (select transaction_id, count(*) as rows_found,
                    md5(string_agg(payload, ',' order by position)) as checksum
               from ledger_row group by transaction_id) r on r.transaction_id = t.id
 where t.id is null or r.transaction_id is null
    or r.rows_found <> t.rows_expected or r.checksum <> t.checksum
"""


def checksum_of(transaction: int, rows: int) -> str:
    """The checksum that the rows of a whole transaction have, computed without the server."""
    payloads = (hashlib.md5(f"{transaction}:{position}".encode()).hexdigest()
                for position in range(1, rows + 1))
    return hashlib.md5(",".join(payloads).encode()).hexdigest()
