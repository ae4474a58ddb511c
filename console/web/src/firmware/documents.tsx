/** The documents of a firmware: SBOM, VEX and provenance; further ones; and which devices a vulnerability concerns by them. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Confirm, type Action } from "../parts/action.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { bytes } from "../time/format.ts";
import { AddDocument } from "./add_document.tsx";
import { Exposure } from "./exposure.tsx";

type Document = Schemas["DocumentBody"];

const nameOf = (document: Document): string => document.filename || document.format;

export function Documents({ id }: { id: string }) {
    const [removed, setRemoved] = useState<Document | null>(null);
    const documents = useResource(`documents ${id}`, signal =>
        body(api.GET("/firmware/{firmware_id}/documents", { signal, params: { path: { firmware_id: id }, query: minPosition() } })), of("firmware", id));
    const columns: Column<Document>[] = [
        { title: "Document", cell: row => <a class="strong" download href={`/api/v1${to`/firmware/${id}/documents/${row.document_id}`}`}>{nameOf(row)}</a> },
        { title: "Kind", cell: row => (row.kind === "provenance" ? row.kind : row.kind.toUpperCase()) },
        { title: "Format", cell: row => row.format },
        { title: "Size", cell: row => bytes(row.size), isNumber: true },
        { title: "SHA-256", cell: row => <code class="digest">{row.checksum_sha256}</code> },
        ...(may("admin") ? [{
            title: "Actions",
            cell: (row: Document) => <button class="danger" aria-label={`Remove: ${nameOf(row)}`} onClick={() => setRemoved(row)}>Remove</button>,
        }] : []),
    ];
    return (
        <div class="stack">
            <Shown of={documents}>
                {({ items }) => (
                    <>
                        {items.length === 0
                            ? <Empty title="It has no documents"><p class="muted">Give it its SBOM, VEX or provenance.</p></Empty>
                            : <Table caption="Documents" columns={columns} rows={items} id={row => row.document_id} />}
                        {may("operator") && <AddDocument id={id} present={items.map(one => ({ value: one.document_id, label: `${nameOf(one)} (${one.kind})` }))} onDone={documents.reload} />}
                    </>
                )}
            </Shown>
            <Exposure firmware={id} />
            {removed && (
                <Confirm action={removal(id, removed)} onClose={() => setRemoved(null)} onTaken={() => {
                    setRemoved(null);
                    documents.reload();
                }} />
            )}
        </div>
    );
}

function removal(firmware: string, document: Document): Action {
    return {
        command: "remove", label: "Remove the document", tone: "danger", needsReason: true,
        request: { method: "DELETE", path: to`/firmware/${firmware}/documents/${document.document_id}` },
        explains: <p>{nameOf(document)} no longer counts, and its bytes are removed. The history keeps its digest.</p>,
    };
}
