-- Why: a read model's rows and the position they stand for change in one transaction. The epoch fences an owner that was replaced.
-- Records of an aggregate that a projection could not apply are parked here, in order, so that the others can go on.
CREATE TABLE projection_checkpoints (
    name text NOT NULL PRIMARY KEY,
    version integer NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    incarnation_ms bigint NOT NULL,
    caught_up_at timestamptz
);
CREATE TABLE parked_records (
    projection text NOT NULL,
    position bigint NOT NULL,
    aggregate text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (projection, position)
);
CREATE INDEX parked_records_aggregate ON parked_records (projection, aggregate);
GRANT SELECT ON projection_checkpoints, parked_records TO waybill_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON projection_checkpoints, parked_records TO waybill_projector;
