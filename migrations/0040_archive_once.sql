-- Why: the archive held each event twice, as bytes in `records` and as a row in `events`. From now on `events` is a view over `records`.
--
-- Where there is an archive already, its tables serve until it has been rebuilt: the new table stays empty in the schema `next_archive`, and
-- the rebuild copies its form. An empty database gets the new table at once.
CREATE SCHEMA next_archive;
CREATE TABLE next_archive.records (
    position bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    -- From the body; null where it can't be read. `version` is the aggregate's after the first event.
    version bigint,
    recorded_at timestamptz,
    causation_position bigint,
    correlation_id uuid,
    causation_id uuid,
    event_count integer,
    actor text,
    tenant text NOT NULL,
    subject text NOT NULL,
    -- As postgres-es names the aggregate. Columns, because an index on an expression isn't used under row-level security.
    aggregate_type text NOT NULL GENERATED ALWAYS AS (split_part(subject, '.', 4)) STORED,
    aggregate_id text NOT NULL GENERATED ALWAYS AS (tenant || '/' || split_part(subject, '.', 5)) STORED,
    headers jsonb NOT NULL,
    sha256 bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant, position)
);
CREATE INDEX records_aggregate ON next_archive.records (aggregate_type, aggregate_id);
CREATE INDEX records_correlation ON next_archive.records (correlation_id);
SELECT waybill_protect('next_archive.records');

-- The layout that postgres-es reads, with columns of our own beside it: one row for each event of the records that can be read.
--
-- * A view is bound to the table it was made over. So a rebuild drops it before it puts a new `records` in the old one's place, and makes it
--   again afterwards.
-- * The body is read in a CASE, because PostgreSQL may evaluate expressions before it looks at the WHERE clause.
-- * `OFFSET 0` makes PostgreSQL read the body once for a record, not once for a column.
-- * PostgreSQL can't take apart JSON with an escaped NUL, and a device may send one. So the escape is replaced by two others, which no record
--   has because Waybill writes hexadecimal digits in lower case, and restored in the payload.
-- * Upcasters rename no event type, so the stored name is also today's.
CREATE FUNCTION waybill_create_events() RETURNS void LANGUAGE plpgsql AS $create$
BEGIN
    CREATE VIEW public.events WITH (security_invoker = true) AS
    SELECT r.aggregate_type, r.aggregate_id, r.version + e.index AS sequence,
      e.event ->> 'type' AS event_type, e.stored ->> 'schema' AS event_version,
      replace(e.event::text, '\u001E\u001F', '\u0000')::json AS payload,
      -- A flat map of texts.
      json_strip_nulls(json_build_object(
        'actor', r.actor,
        'causation_id', e.link ->> 'causation_id',
        'causation_position', (e.link ->> 'causation_position') || '-0',
        'command_id', b.record ->> 'command_id',
        'correlation_id', e.link ->> 'correlation_id',
        'position', r.position || '-' || e.index,
        'recorded_at', regexp_replace(b.record -> 'meta' ->> 'recorded_at', 'Z$', '+00:00'),
        'traceparent', b.record -> 'meta' ->> 'traceparent'
      )) AS metadata,
      r.tenant, r.position, e.index, r.recorded_at AS time, r.actor,
      e.link ->> 'correlation_id' AS correlation_id, e.link ->> 'causation_id' AS causation_id,
      (e.link ->> 'causation_position')::bigint AS causation_position
    FROM public.records r
    CROSS JOIN LATERAL (
      SELECT CASE WHEN r.version IS NOT NULL
        THEN replace(convert_from(r.body, 'UTF8'), '\u0000', '\u001E\u001F')::json END AS record
      OFFSET 0
    ) b
    CROSS JOIN LATERAL (
      SELECT a.stored, a.ordinality - 1 AS index, a.stored -> 'event' AS event,
        -- An event that belongs to another update than its record has correlation and cause of its own.
        CASE json_typeof(a.stored -> 'meta') WHEN 'object' THEN a.stored -> 'meta' ELSE b.record -> 'meta' END AS link
      FROM json_array_elements(b.record -> 'events') WITH ORDINALITY AS a (stored, ordinality)
      OFFSET 0
    ) e
    WHERE r.version IS NOT NULL;
    GRANT SELECT ON public.events TO waybill_reader, waybill_projector;
END
$create$;

-- Drops the view, or the table that `events` was before.
CREATE FUNCTION waybill_drop_events() RETURNS void LANGUAGE plpgsql AS $drop$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('public.events')) = 'v' THEN
        DROP VIEW public.events;
    ELSE
        DROP TABLE public.events;
    END IF;
END
$drop$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM projection_checkpoints WHERE name = 'archive') THEN
        PERFORM waybill_drop_events();
        DROP TABLE public.records;
        ALTER TABLE next_archive.records SET SCHEMA public;
        DROP SCHEMA next_archive;
        PERFORM waybill_create_events();
    END IF;
END
$$;
