/** All campaigns, the newest first. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Campaign } from "../api/types.ts";
import { useStatus } from "../campaign/board_row.tsx";
import { FirmwareSelect } from "../device/firmware_select.tsx";
import { useFirmwareNames } from "../campaign/firmware_names.ts";
import { wholeParts } from "../campaign/progress.ts";
import { Page } from "../layout/page.tsx";
import { Badge } from "../parts/badge.tsx";
import { Bar } from "../parts/bar.tsx";
import { Select } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { href, query, setQuery, to } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { count, percent, words } from "../time/format.ts";
import { Time } from "../time/time.tsx";

const PAGE_ROWS = 25;
const STATES = [
    "draft", "awaiting_approval", "approved", "rejected", "scheduled", "planning", "running", "paused", "cancelling", "cancelled", "rolling_back",
    "rolled_back", "completed", "completed_with_failures", "failed",
];
const STRATEGIES = ["immediate", "staged", "canary", "blue_green"];

function options(values: readonly string[]) {
    return [{ value: "", label: "any" }, ...values.map(value => ({ value, label: words(value) }))];
}

export function Campaigns() {
    const parameters = query.value;
    const [status, strategy, cursor, firmware] = ["status", "strategy", "cursor", "firmware"].map(name => parameters.get(name) ?? undefined);
    const moment = at.value;
    const campaigns = useResource(`campaigns ${status} ${strategy} ${firmware} ${cursor} ${moment}`, signal =>
        body(api.GET("/campaigns", { signal, params: { query: { status, strategy, firmware, cursor, limit: PAGE_ROWS, ...(moment ? { at: moment } : minPosition()) } } })),
        moment ? null : ofKind("campaign"));
    const firmwares = useFirmwareNames(campaigns.data?.items.map(one => one.firmware_id) ?? []);
    const columns: Column<Campaign>[] = [
        { title: "Campaign", cell: row => <a class="strong" href={href(to`/campaigns/${row.campaign_id}`)}>{row.name ?? row.campaign_id}</a> },
        { title: "State", cell: row => <Badge state={row.status} /> },
        { title: "Firmware", cell: row => <a href={href(to`/firmware/${row.firmware_id}`)}>{firmwares[row.firmware_id] ?? row.firmware_id.slice(0, 8)}</a> },
        { title: "Strategy", cell: row => words(row.deployment_strategy) },
        { title: "Wave", cell: row => (row.wave > 0 ? `${row.wave} of ${row.plan ? ((row.plan as { waves?: unknown[] }).waves ?? row.waves).length : row.waves.length}` : "–"), isNumber: true },
        // Numbers are known of now only.
        ...(moment ? [] : [{ title: "Progress", cell: (row: Campaign) => <Progress campaign={row} /> }]),
        { title: "By", cell: row => row.created_by ?? "–" },
        { title: "Started", cell: row => <Time at={row.started_at} relative /> },
    ];
    return (
        <Page title="Campaigns" showsPast aside={<a class="button primary" href={href("/campaigns/new")}>New campaign</a>}>
            <div class="filters">
                <Select label="State" value={status ?? ""} options={options(STATES)} onChange={value => setQuery({ status: value, cursor: null })} />
                <Select label="Strategy" value={strategy ?? ""} options={options(STRATEGIES)} onChange={value => setQuery({ strategy: value, cursor: null })} />
                <FirmwareSelect value={firmware ?? ""} none="any" onChange={value => setQuery({ firmware: value, cursor: null })} />
            </div>
            <Shown of={campaigns}>
                {list => list.items.length === 0 ? (
                    <Empty title={status || strategy || firmware ? "No campaign fits" : moment ? "There was no campaign then" : "No campaign yet"}>
                        <Pager next={list.next_cursor} shown={0} />
                        <a class="button" href={href("/campaigns/new")}>New campaign</a>
                    </Empty>
                ) : (
                    <>
                        <Table caption="Campaigns" columns={columns} rows={list.items} id={row => row.campaign_id} />
                        <Pager next={list.next_cursor} shown={list.items.length} />
                    </>
                )}
            </Shown>
        </Page>
    );
}

/** Numbers of a campaign that has been planned. */
function Progress({ campaign }: { campaign: Campaign }) {
    return campaign.started_at ? <Numbers id={campaign.campaign_id} /> : <span class="muted">–</span>;
}

function Numbers({ id }: { id: string }) {
    const { data } = useStatus(id);
    if (!data) return null;
    return (
        <>
            <Bar parts={wholeParts(data)} whole={data.enrolled} />
            <span class="small muted">
                {count(data.settled)}/{count(data.enrolled)} · {count(data.failed)} failed ({percent(data.failed, data.settled)})
            </span>
        </>
    );
}
