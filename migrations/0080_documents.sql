-- Why: a firmware has documents, planners leave out what lacks those that its tenant asks for, and operators ask which devices a
-- vulnerability concerns. No earlier event names a document, so no row changes.
ALTER TABLE firmware ADD COLUMN documents jsonb NOT NULL DEFAULT '[]';

-- What stands in stored documents. It follows from their bytes and not from events, so these three tables are a named exception, no read
-- model, and neither rebuilt nor compared: what is missing is read again from the stored documents. The first says which have been read.
CREATE TABLE document_contents (
    tenant text NOT NULL,
    document_id text NOT NULL,
    entries bigint NOT NULL,
    read_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, document_id)
);
SELECT waybill_protect('document_contents');

CREATE TABLE document_components (
    tenant text NOT NULL,
    document_id text NOT NULL,
    number bigint NOT NULL,
    package text,
    name text NOT NULL,
    version text,
    PRIMARY KEY (tenant, document_id, number)
);
CREATE INDEX document_components_package ON document_components (tenant, package, document_id) WHERE package IS NOT NULL;
SELECT waybill_protect('document_components');

CREATE TABLE document_statements (
    tenant text NOT NULL,
    document_id text NOT NULL,
    number bigint NOT NULL,
    vulnerability text NOT NULL,
    status text NOT NULL,
    justification text,
    package text,
    PRIMARY KEY (tenant, document_id, number)
);
CREATE INDEX document_statements_vulnerability ON document_statements (tenant, vulnerability, document_id);
SELECT waybill_protect('document_statements');

-- Which devices ran a version, and since when.
CREATE INDEX device_firmware_history_version ON device_firmware_history (tenant, component, to_version, device_id, position, index);
