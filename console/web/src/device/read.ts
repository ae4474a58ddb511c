/** What the page of a device reads, now or at a moment of the past. */
import { api, body } from "../api/client.ts";
import { historyPage, type HistoryPage } from "../api/history.ts";
import { minPosition } from "../api/position.ts";
import type { Device } from "../api/types.ts";
import { of, ofKind, useResource } from "../api/resource.ts";
import { at } from "../time/clock.ts";

/** Most events of one page. */
export const HISTORY_ROWS = 200;

export function readDevice(id: string, moment: string | null, signal: AbortSignal): Promise<Device> {
    return body(api.GET("/devices/{device_id}", {
        signal,
        params: { path: { device_id: id }, query: moment ? { at_time: moment } : minPosition() },
    }));
}

export function useDevice(id: string) {
    const moment = at.value;
    return useResource(`device ${id} ${moment}`, signal => readDevice(id, moment, signal), moment ? null : of("device", id));
}

function page(id: string, cursor: string | undefined, signal: AbortSignal): Promise<HistoryPage> {
    return body(api.GET("/devices/{device_id}/history", {
        signal,
        params: { path: { device_id: id }, query: { order: "desc", cursor, limit: HISTORY_ROWS, ...minPosition() } },
    }));
}

/** The newest events of a device, or those until the moment that is looked at. */
export function useHistory(id: string, cursor?: string) {
    const moment = at.value;
    return useResource(`device-history ${id} ${cursor} ${moment}`, signal =>
        historyPage(one => page(id, one, signal), cursor, moment), moment ? null : of("device", id));
}

export function useUpdates(id: string, cursor?: string, limit = 50) {
    return useResource(`device-updates ${id} ${cursor} ${limit}`, signal =>
        body(api.GET("/devices/{device_id}/updates", {
            signal,
            params: { path: { device_id: id }, query: { cursor, limit, ...minPosition() } },
        })), change => of("device", id)(change) || ofKind("campaign")(change));
}
