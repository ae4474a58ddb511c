/** The history of a campaign or a firmware, the newest first; of a moment of the past, what had happened until then. */
import { historyPage, noEvents, type HistoryPage } from "../api/history.ts";
import { minPosition } from "../api/position.ts";
import { of, useResource } from "../api/resource.ts";
import { query } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { Chain, linkOf } from "./chain.tsx";
import { Pager } from "./pager.tsx";
import { Empty, Shown } from "./states.tsx";

const PAGE_ROWS = 100;

export interface HistoryQuery {
    order: "desc";
    cursor: string | undefined;
    limit: number;
    min_position?: string;
}

export function Timeline({ kind, id, read }: {
    kind: "campaign" | "firmware";
    id: string;
    read: (query: HistoryQuery, signal: AbortSignal) => Promise<HistoryPage>;
}) {
    const first = query.value.get("cursor") ?? undefined;
    const moment = at.value;
    const history = useResource(`${kind}-history ${id} ${first} ${moment}`, signal =>
        historyPage(cursor => read({ order: "desc", cursor, limit: PAGE_ROWS, ...minPosition() }, signal), first, moment),
    moment ? null : of(kind, id));
    return (
        <Shown of={history}>
            {list => (
                <>
                    {list.items.length === 0 ? <Empty title={noEvents(list)} /> : <Chain links={list.items.map(linkOf)} label="Timeline" />}
                    <Pager next={list.next_cursor} shown={list.items.length} />
                </>
            )}
        </Shown>
    );
}
