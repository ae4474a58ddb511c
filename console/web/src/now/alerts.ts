/** What needs somebody beside the campaigns: withdrawn firmware that still runs, devices that fell back today, parts of the service that aren't well. */
import { api, body } from "../api/client.ts";
import { minPosition } from "../api/position.ts";
import { ofKind, useResource } from "../api/resource.ts";
import type { Firmware, Stats } from "../api/types.ts";
import { shares } from "../firmware/versions.ts";
import { stateOf, troubles } from "../health/parts.ts";
import { useLooks } from "../health/state.tsx";
import { href, to } from "../router/location.ts";
import { several } from "../time/format.ts";

/** Most withdrawn firmware that is looked at. */
const WITHDRAWN_MAX = 20;
/** Wait between two looks at the parts of the service, in milliseconds. */
const LOOK_MS = 30_000;

export interface Alert {
    says: string;
    link: string;
    /** What the link does. */
    label: string;
}

interface InUse {
    firmware: Firmware;
    devices: number;
}

/** Withdrawn firmware with the devices of its model that run its version. */
async function withdrawnInUse(signal: AbortSignal): Promise<InUse[]> {
    const { items } = await body(api.GET("/firmware", { signal, params: { query: { status: "withdrawn", limit: WITHDRAWN_MAX, ...minPosition() } } }));
    const components = [...new Set(items.map(one => one.component))];
    const counted = await Promise.all(components.map(async component => {
        const query = { component, group_by: "device_model", ...minPosition() };
        return [component, (await body(api.GET("/stats/versions", { signal, params: { query } }))).items] as const;
    }));
    const groups = new Map(counted);
    return items.flatMap(firmware => {
        const own = shares(groups.get(firmware.component) ?? [], firmware.device_model);
        const devices = own.find(share => share.version === (firmware.reported_version ?? firmware.version))?.devices ?? 0;
        return devices > 0 ? [{ firmware, devices }] : [];
    });
}

export function useAlerts(stats: Stats | undefined): Alert[] {
    const withdrawn = useResource("withdrawn-in-use", withdrawnInUse, ofKind("firmware", "campaign"));
    const health = useResource("health", signal => body(api.GET("/health/detailed", { signal, baseUrl: "/" })));
    useLooks(health.reload, LOOK_MS);
    const today = stats?.period.days.find(one => one.day === stats.period.to);
    const regressed = today?.updates.regressed ?? 0;
    return [
        ...(withdrawn.data ?? []).map(({ firmware, devices }) => ({
            says: `${firmware.name} ${firmware.version} is withdrawn, and ${several(devices, "device")} still ${devices === 1 ? "runs" : "run"} it.`,
            link: href(to`/firmware/${firmware.firmware_id}`), label: "Where it runs",
        })),
        ...(regressed > 0 ? [{
            says: `${several(regressed, "device")} fell back to an older version today.`,
            link: href("/devices", { tab: "Updates", phase: "regressed" }), label: "Show them",
        }] : []),
        ...troubles(health.data?.components ?? []).map(part => ({
            says: `The ${part.name} is ${stateOf(part)}${part.parked ? `, ${several(part.parked, "aggregate")} parked` : ""}.`, link: href("/health"), label: "Health",
        })),
    ];
}
