/** Firmware by the digest of its file. */
import { api, body } from "../api/client.ts";
import type { Firmware } from "../api/types.ts";

const PAGE_ROWS = 200;
const PAGES_MAX = 10;
/** Most firmware that is compared, because the service has no filter for digests. */
export const MATCHED_MAX = PAGE_ROWS * PAGES_MAX;

export interface Found {
    items: Firmware[];
    /** Whether all firmware was compared. */
    isComplete: boolean;
}

export async function findByDigest(sha256: string, signal: AbortSignal): Promise<Found> {
    const items: Firmware[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < PAGES_MAX; page += 1) {
        const list = await body(api.GET("/firmware", { signal, params: { query: { cursor, include: "deleted", limit: PAGE_ROWS } } }));
        items.push(...list.items.filter(one => one.checksum_sha256 === sha256.trim().toLowerCase()));
        cursor = list.next_cursor ?? undefined;
        if (!cursor) return { items, isComplete: true };
    }
    return { items, isComplete: false };
}
