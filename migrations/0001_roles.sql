-- Why: three roles from the beginning. The owner changes tables, the projector writes rows of all tenants, the reader sees only the
-- tenant that its transaction has set. Row-level security is forced, so that forgetting a filter shows nothing instead of everything.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_projector') THEN
        CREATE ROLE waybill_projector NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_reader') THEN
        CREATE ROLE waybill_reader NOLOGIN NOBYPASSRLS;
    END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN
    NULL; -- another database of the same server makes them at this moment
END
$$;
DO $$
BEGIN
    EXECUTE format('GRANT waybill_projector, waybill_reader TO %I', current_user);
END
$$;
GRANT USAGE ON SCHEMA public TO waybill_projector, waybill_reader;

-- Puts a table under the rules. Used by migrations, and again when a rebuilt table takes the place of the old one.
CREATE FUNCTION waybill_protect(target regclass) RETURNS void LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('DROP POLICY IF EXISTS tenant_only ON %s', target);
    EXECUTE format('DROP POLICY IF EXISTS projector_all ON %s', target);
    EXECUTE format(
        'CREATE POLICY tenant_only ON %s FOR SELECT TO waybill_reader USING (tenant = current_setting(''waybill.tenant'', true))',
        target
    );
    EXECUTE format('CREATE POLICY projector_all ON %s TO waybill_projector USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT ON %s TO waybill_reader', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO waybill_projector', target);
END
$$;
