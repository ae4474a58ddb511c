/** The fleet in numbers, each a link to the devices or updates that it counts. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { anything, useResource } from "../api/resource.ts";
import { Empty, Shown } from "../parts/states.tsx";
import { Tile } from "../parts/tile.tsx";
import { href } from "../router/location.ts";
import { several } from "../time/format.ts";
import { Time } from "../time/time.tsx";

export function Fleet() {
    const stats = useResource("stats", signal => body(api.GET("/stats", { signal, params: { query: minPosition() } })), anything);
    return (
        <Shown of={stats}>
            {({ devices, updates, in_flight, as_of }) => devices.total === 0 ? <NoDevices /> : (
                <section class="stack" aria-label="Fleet">
                    <div class="tiles">
                        <Tile number={devices.online} word="online" to={href("/devices", { status: "online" })} />
                        <Tile number={devices.offline} word="offline" to={href("/devices", { status: "offline" })} />
                        <Tile number={devices.never_seen} word="never seen" to={href("/devices", { status: "never_seen" })} />
                        <Tile number={in_flight} word="updates in flight" to={href("/devices", { tab: "Updates" })} />
                        <Tile number={updates.failed ?? 0} word="updates failed" to={href("/devices", { tab: "Updates", phase: "failed" })} />
                        <Tile number={updates.regressed ?? 0} word="fell back" to={href("/devices", { tab: "Updates", phase: "regressed" })} />
                    </div>
                    <p class="muted small">
                        {several(devices.total, "device")}, as of <Time at={as_of.time} />. <a href={href("/devices", { all: "yes" })}>Show all of them</a>
                    </p>
                </section>
            )}
        </Shown>
    );
}

export function NoDevices() {
    return (
        <Empty title="There is no device yet">
            <p class="muted">Register one here, let devices register themselves with a token, or try it with some that are simulated:</p>
            <pre class="cli">waybill simulate --register --devices 10</pre>
        </Empty>
    );
}
