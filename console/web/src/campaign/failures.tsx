/** Failures of a campaign by code, hardware and the version before. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, path } from "../router/location.ts";
import { count, percent, words } from "../time/format.ts";

type Group = Schemas["FailureGroupBody"];

export function Failures({ id }: { id: string }) {
    const failures = useResource(`failures ${id}`, signal =>
        body(api.GET("/campaigns/{campaign_id}/failures", {
            signal,
            params: { path: { campaign_id: id }, query: { group_by: "code,hardware_version,from_version", ...minPosition() } },
        })), of("campaign", id));
    const columns = (failed: number): Column<Group>[] => [
        { title: "Code", cell: row => <span class="strong">{words(row.code ?? "no code")}</span> },
        { title: "Hardware", cell: row => row.hardware_version ?? "–" },
        { title: "From version", cell: row => row.from_version ?? "–" },
        { title: "Devices", cell: row => <a href={href(path.value, { tab: "Devices", phase: "failed" })}>{count(row.devices)}</a>, isNumber: true },
        { title: "Share", cell: row => percent(row.devices, failed), isNumber: true },
    ];
    return (
        <Shown of={failures}>
            {({ failed, items, other_devices }) => items.length === 0 ? (
                <Empty title="No device has failed for good">
                    <p class="muted">Failed attempts that are tried again count for the gates, not here.</p>
                </Empty>
            ) : (
                <>
                    <Table caption="Failures" columns={columns(failed)} rows={items} id={row => `${row.code} ${row.hardware_version} ${row.from_version}`} />
                    {other_devices > 0 && <p class="muted">{count(other_devices)} further devices in smaller groups.</p>}
                </>
            )}
        </Shown>
    );
}
