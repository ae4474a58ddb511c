-- Why: devices send pieces of the logs of their updates, which operators read for 30 days. Filled from TELEMETRY, so these rows aren't rebuilt from
-- EVENTS. `broker_ms` and `delivery` are the broker's number of a piece: one that is stored twice is kept once. `piece` is the order of arrival.
CREATE TABLE update_logs (
    tenant text NOT NULL,
    device_id text NOT NULL,
    ordinal bigint NOT NULL,
    broker_ms bigint NOT NULL,
    delivery bigint NOT NULL,
    piece bigint GENERATED ALWAYS AS IDENTITY,
    received_at timestamptz NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (tenant, device_id, ordinal, broker_ms, delivery)
);
CREATE INDEX update_logs_piece ON update_logs (tenant, device_id, ordinal, piece);
CREATE INDEX update_logs_received ON update_logs (received_at);
SELECT waybill_protect('update_logs');
