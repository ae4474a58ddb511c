/** The campaigns of a firmware. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Campaign } from "../api/types.ts";
import { Badge } from "../parts/badge.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, to } from "../router/location.ts";
import { words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const PAGE_ROWS = 50;

const COLUMNS: Column<Campaign>[] = [
    { title: "Campaign", cell: row => <a class="strong" href={href(to`/campaigns/${row.campaign_id}`)}>{row.name ?? row.campaign_id}</a> },
    { title: "State", cell: row => <Badge state={row.status} /> },
    { title: "Strategy", cell: row => words(row.deployment_strategy) },
    { title: "By", cell: row => row.created_by ?? "–" },
    { title: "Started", cell: row => <Time at={row.started_at} relative /> },
    { title: "Ended", cell: row => <Time at={row.ended_at} relative /> },
];

export function Campaigns({ id }: { id: string }) {
    const cursor = query.value.get("cursor") ?? undefined;
    const campaigns = useResource(`firmware-campaigns ${id} ${cursor}`, signal =>
        body(api.GET("/campaigns", { signal, params: { query: { firmware_id: id, cursor, limit: PAGE_ROWS, ...minPosition() } } })),
        ofKind("campaign"));
    return (
        <Shown of={campaigns}>
            {list => list.items.length === 0 ? (
                <Empty title="No campaign has this firmware">
                    <a class="button" href={href("/campaigns/new", { firmware: id })}>New campaign</a>
                </Empty>
            ) : (
                <>
                    <Table caption="Campaigns with this firmware" columns={COLUMNS} rows={list.items} id={row => row.campaign_id} />
                    <Pager next={list.next_cursor} shown={list.items.length} />
                </>
            )}
        </Shown>
    );
}
