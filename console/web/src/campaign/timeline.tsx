/** The decisions of a campaign, the newest first; of a moment of the past, those until then. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import { Chain, linkOf } from "../parts/chain.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { query } from "../router/location.ts";
import { at } from "../time/clock.ts";

const PAGE_ROWS = 100;

export function Timeline({ id }: { id: string }) {
    const cursor = query.value.get("cursor") ?? undefined;
    const moment = at.value;
    const history = useResource(`history ${id} ${cursor}`, signal =>
        body(api.GET("/campaigns/{campaign_id}/history", {
            signal,
            params: { path: { campaign_id: id }, query: { order: "desc", cursor, limit: PAGE_ROWS, ...minPosition() } },
        })), moment ? null : of("campaign", id));
    return (
        <Shown of={history}>
            {list => {
                const until = moment ? list.items.filter(item => Date.parse(item.stored_at) <= Date.parse(moment)) : list.items;
                return until.length === 0 ? <Empty title="Nothing had happened yet" /> : (
                    <>
                        <Chain links={until.map(linkOf)} label="Timeline" />
                        <Pager next={list.next_cursor} shown={until.length} />
                    </>
                );
            }}
        </Shown>
    );
}
