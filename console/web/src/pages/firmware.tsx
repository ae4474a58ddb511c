/** All firmware, with filters, and by the digest of a file. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Firmware } from "../api/types.ts";
import { Page } from "../layout/page.tsx";
import { Badge } from "../parts/badge.tsx";
import { Check, Field, Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { may } from "../session/session.ts";
import { bytes, several, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const PAGE_ROWS = 50;
const UPDATE_TYPES = ["firmware", "software", "application", "config", "bootloader", "security_patch"];
const FILTERS = ["device_model", "component", "version", "update_type", "is_security_update", "sha256", "include"] as const;

const COLUMNS: Column<Firmware>[] = [
    { title: "Firmware", cell: row => <a class="strong" href={href(to`/firmware/${row.firmware_id}`)}>{row.name} {row.version}</a> },
    { title: "State", cell: row => <Badge state={row.status} /> },
    { title: "Model", cell: row => <span class="nowrap">{row.device_model}</span> },
    { title: "Type", cell: row => <Kind firmware={row} /> },
    { title: "Size", cell: row => bytes(row.file_size), isNumber: true },
    { title: "Signed by", cell: row => (row.signatures.length > 0 ? several(new Set(row.signatures.map(one => one.key)).size, "key") : "–") },
    { title: "In use by", cell: row => (row.pinned_by.length > 0 ? several(row.pinned_by.length, "campaign") : "–") },
    { title: "Uploaded", cell: row => <Time at={row.created_at} relative /> },
];

function Kind({ firmware }: { firmware: Firmware }) {
    const component = firmware.component === firmware.update_type ? false : `for ${words(firmware.component)}`;
    const marks = [component, firmware.is_security_update && "security", firmware.is_beta && "beta"].filter(Boolean);
    return <>{[words(firmware.update_type), ...marks].join(" · ")}</>;
}

export function FirmwareList(_: { params: Record<string, string> }) {
    return (
        <Page title="Firmware" aside={may("operator") && <a class="button primary" href={href("/firmware/upload")}>Upload</a>}>
            <Filtered />
        </Page>
    );
}

function Filtered() {
    const parameters = query.value;
    const given = (name: string): string => parameters.get(name) ?? "";
    const wanted = Object.fromEntries(FILTERS.map(name => [name, given(name) || undefined]));
    const cursor = given("cursor") || undefined;
    const filters = { ...wanted, is_security_update: given("is_security_update") === "true" ? true : undefined };
    const firmware = useResource(`firmware ${JSON.stringify(filters)} ${cursor}`, signal =>
        body(api.GET("/firmware", { signal, params: { query: { ...filters, cursor, limit: PAGE_ROWS, ...minPosition() } } })),
        ofKind("firmware", "campaign"));
    const change = (name: string, value: string): void => setQuery({ [name]: value, cursor: null }, { replace: true });
    const isFiltered = FILTERS.some(name => given(name) !== "");
    return (
        <>
            <div class="filters">
                <Field label="Model" type="search" value={given("device_model")} onInput={value => change("device_model", value)} />
                <Field label="Version" type="search" value={given("version")} onInput={value => change("version", value)} />
                <Field label="Component" type="search" value={given("component")} onInput={value => change("component", value)} />
                <Select label="Type" value={given("update_type")} onChange={value => change("update_type", value)}
                    options={[{ value: "", label: "any" }, ...UPDATE_TYPES.map(value => ({ value, label: words(value) }))]} />
                <Field label="SHA-256" type="search" isFinished placeholder="8 digits or more" value={given("sha256")} onInput={value => change("sha256", value.trim())} />
                <Check label="Security updates" checked={given("is_security_update") === "true"}
                    onChange={value => change("is_security_update", value ? "true" : "")} />
                <Check label="Also deleted" checked={given("include") === "deleted"} onChange={value => change("include", value ? "deleted" : "")} />
            </div>
            <Shown of={firmware}>
                {list => list.items.length === 0 ? <Nothing isFiltered={isFiltered || cursor !== undefined} /> : (
                    <>
                        <Table caption="Firmware" columns={COLUMNS} rows={list.items} id={row => row.firmware_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </>
    );
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
    if (isFiltered) return <Empty title="No firmware fits"><a class="button" href={href("/firmware")}>Show all</a></Empty>;
    return (
        <Empty title="No firmware yet">
            <a class="button" href={href("/firmware/upload")}>Upload one</a>
            <pre class="cli">waybill firmware upload image.bin --name Firmware --version 1.0.0 --device-model MODEL</pre>
        </Empty>
    );
}
