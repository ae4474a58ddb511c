-- Why: the rows of a record that many rows follow from, such as a chunk of a plan, are written beside the records that come after it. The
-- checkpoint moves past it at once; it stands here until its rows are written. `needed_by` is the aggregate whose next record needs them.
CREATE TABLE deferred_records (
    projection text NOT NULL,
    position bigint NOT NULL,
    aggregate text NOT NULL,
    needed_by text NOT NULL,
    PRIMARY KEY (projection, position)
);
GRANT SELECT ON deferred_records TO waybill_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON deferred_records TO waybill_projector;
