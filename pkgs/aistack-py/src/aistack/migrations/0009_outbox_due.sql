-- What is due for the index, by its time: rows that wait for another try are not read to find it.
-- A short table: its writers wait for this less than a second for a million rows.

create index outbox_due on outbox (generation, not_before, seq);
