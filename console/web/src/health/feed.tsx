/** Programs that read the tenant's feed, and how much waits for them. */
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import type { Schemas } from "../api/types.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { Table, type Column } from "../parts/table.tsx";
import { count } from "../time/format.ts";
import { Time } from "../time/time.tsx";

type Consumer = Schemas["ConsumerBody"];

const COLUMNS: Column<Consumer>[] = [
    { title: "Consumer", cell: row => <span class="strong">{row.name}</span> },
    { title: "Subjects", cell: row => <code class="digest">{row.subject}</code> },
    { title: "Waiting", cell: row => count(row.pending), isNumber: true },
    { title: "Not acknowledged", cell: row => count(row.ack_pending), isNumber: true },
    { title: "Stream", cell: row => row.stream },
    { title: "Made", cell: row => <Time at={row.created_at} relative /> },
];

export function Feed() {
    const consumers = useResource("feed", signal => body(api.GET("/feed/consumers", { signal })));
    return (
        <div class="stack">
            <div class="buttons"><button onClick={consumers.reload}>Look again</button></div>
            <Shown of={consumers}>
                {list => list.items.length === 0
                    ? <Empty title="No program reads the feed"><pre class="cli">waybill feed-consumer create -f name=NAME</pre></Empty>
                    : <Table caption="Consumers of the feed" columns={COLUMNS} rows={list.items} id={row => row.name} />}
            </Shown>
        </div>
    );
}
