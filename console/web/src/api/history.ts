/** Histories, the newest event first: now, or until a moment of the past. */
import type { HistoryItem } from "./types.ts";

/** Most pages that are read to come to a moment of the past. */
const PAST_PAGES_MAX = 20;

export interface HistoryPage {
    items: HistoryItem[];
    next_cursor?: string | null | undefined;
}

/**
 * A page of a history. For a moment of the past, pages with only later events are skipped, and later events are left out of the page. The page is
 * empty and has a cursor when the most pages were read and all their events were later.
 */
export async function historyPage(
    read: (cursor: string | undefined) => Promise<HistoryPage>,
    cursor: string | undefined,
    moment: string | null,
): Promise<HistoryPage> {
    let found = await read(cursor);
    if (moment === null) return found;
    const isUntil = (item: HistoryItem): boolean => Date.parse(item.stored_at) <= Date.parse(moment);
    for (let pages = 1; pages < PAST_PAGES_MAX && found.next_cursor && !found.items.some(isUntil); pages += 1) {
        found = await read(found.next_cursor);
    }
    return { ...found, items: found.items.filter(isUntil) };
}

/** Why a page of a history has no event. */
export function noEvents(page: HistoryPage): string {
    return page.next_cursor ? "All events on these pages came later" : "Nothing had happened yet";
}
