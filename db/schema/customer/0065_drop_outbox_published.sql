-- Old events are found by their id, which grows with time; each event had to pass through it.
DROP INDEX IF EXISTS outbox_published;
