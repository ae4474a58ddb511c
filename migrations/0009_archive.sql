-- Why: the log, kept where SQL can reach it. `records` holds the original bytes, also of what can't be decoded; `events` has the layout
-- that postgres-es reads, with columns of our own behind it, so an aggregate can be replayed from here alone.
CREATE TABLE records (
    tenant text NOT NULL,
    position bigint NOT NULL,
    subject text NOT NULL,
    stored_at timestamptz NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (tenant, position)
);
CREATE INDEX records_subject ON records (tenant, subject, position);
SELECT waybill_protect('records');

CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    tenant text NOT NULL,
    position bigint NOT NULL,
    index bigint NOT NULL,
    time timestamptz NOT NULL,
    actor text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE INDEX events_position ON events (tenant, position, index);
CREATE INDEX events_correlation ON events (tenant, correlation_id, position);
CREATE INDEX events_actor ON events (tenant, actor, position);
SELECT waybill_protect('events');
