/** One device: what it runs and why, what it should run, and what can be done with it. */
import { of } from "../api/resource.ts";
import type { Device as DeviceBody } from "../api/types.ts";
import { About, Versions } from "../device/about.tsx";
import { Access } from "../device/access.tsx";
import { Commands } from "../device/commands.tsx";
import { Badges, Head } from "../device/head.tsx";
import { Letters } from "../device/letters.tsx";
import { Network } from "../device/network.tsx";
import { hasEnded } from "../device/phases.ts";
import { readDevice, useDevice, useHistory, useUpdates } from "../device/read.ts";
import { Running } from "../device/running.tsx";
import { Telemetry } from "../device/telemetry.tsx";
import { Timeline } from "../device/timeline.tsx";
import { Updates } from "../device/updates.tsx";
import { Why, WhyNot } from "../device/why.tsx";
import { Page } from "../layout/page.tsx";
import { Compared } from "../parts/compared.tsx";
import { Shown } from "../parts/states.tsx";
import { to } from "../router/location.ts";
import { openTab, Tabs } from "../parts/tabs.tsx";
import { at, isComparing } from "../time/clock.ts";
import { words } from "../time/format.ts";

/** Newest updates that the head looks at. */
const NEWEST_UPDATES = 10;
/** What the log alone knows of a moment of the past. */
const TABS_OF_THE_PAST = ["Overview", "Timeline"];
/** What isn't known of the past, so it can't be compared. */
const NOT_COMPARED = ["groups", "last_seen", "signal_strength", "battery_level", "current_update", "waiting_updates", "chirpstack_synced"];

export function Device({ params }: { params: Record<string, string> }) {
    const id = params.id ?? "";
    const device = useDevice(id);
    const data = device.data;
    return (
        <Page title={id} tabTitle={data ? `${words(data.held ? "held" : data.status)} · ${id}` : id} showsPast compares source={to`/devices/${id}`} aside={data && <Badges device={data} />}>
            <Shown of={device}>{shown => <Details device={shown} reload={device.reload} />}</Shown>
        </Page>
    );
}

function tabsOf(device: DeviceBody): string[] {
    if (at.value) return TABS_OF_THE_PAST;
    const tabs = ["Overview", "Updates", "Timeline", "Commands", "Telemetry", "Access"];
    return [...tabs, ...(device.lorawan_dev_eui ? ["LoRaWAN"] : []), "Dead letters"];
}

function Details({ device, reload }: { device: DeviceBody; reload: () => void }) {
    const id = device.device_id;
    const history = useHistory(id);
    const newest = useUpdates(id, undefined, NEWEST_UPDATES);
    const events = history.data?.items ?? [];
    const updates = at.value ? [] : (newest.data?.items ?? []);
    const current = updates.find(update => update.ordinal === device.current_update?.ordinal) ?? updates.find(update => !hasEnded(update.phase));
    const tabs = tabsOf(device);
    const tab = openTab(tabs);
    return (
        <>
            <Head device={device} update={current} latest={updates[0]} events={events} reload={reload} />
            {isComparing.value && (
                <Compared aggregate={`device/${id}`} then={device} id={`device ${id} null`} read={signal => readDevice(id, null, signal)}
                    live={of("device", id)} skipped={NOT_COMPARED} />
            )}
            <Tabs tabs={tabs} label="Details" />
            {tab === "Overview" && (
                <>
                    <Running device={device} updates={updates} events={events} areAll={history.data?.next_cursor == null} />
                    <div class="columns">
                        <div class="stack">
                            <Why device={device} />
                            {!at.value && <WhyNot device={device} />}
                        </div>
                        <About device={device} reload={reload} />
                    </div>
                    <Versions id={id} />
                </>
            )}
            {tab === "Updates" && <Updates id={id} events={events} live={current?.ordinal} />}
            {tab === "Timeline" && <Timeline id={id} />}
            {tab === "Commands" && <Commands device={device} />}
            {tab === "Telemetry" && <Telemetry id={id} />}
            {tab === "Access" && <Access device={device} />}
            {tab === "LoRaWAN" && <Network device={device} reload={reload} />}
            {tab === "Dead letters" && <Letters id={id} />}
        </>
    );
}
