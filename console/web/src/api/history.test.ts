import assert from "node:assert/strict";
import { test } from "node:test";
import { historyPage, noEvents, type HistoryPage } from "./history.ts";
import type { HistoryItem } from "./types.ts";

const at = (minute: number): HistoryItem => ({ stored_at: `2026-11-29T14:${String(minute).padStart(2, "0")}:00Z` }) as HistoryItem;

/** Pages of one event a minute, the newest first; the cursor is the number of a page. */
const reader = (pages: number) => {
    const asked: (string | undefined)[] = [];
    const read = async (cursor: string | undefined): Promise<HistoryPage> => {
        asked.push(cursor);
        const page = Number(cursor ?? 0);
        return { items: [at(59 - page * 2), at(58 - page * 2)], next_cursor: page + 1 < pages ? String(page + 1) : null };
    };
    return { read, asked };
};

test("a history of now is one page", async () => {
    const { read, asked } = reader(3);
    assert.equal((await historyPage(read, undefined, null)).items.length, 2);
    assert.deepEqual(asked, [undefined]);
});

test("pages that are all later than the moment are passed over", async () => {
    const { read, asked } = reader(3);
    const page = await historyPage(read, undefined, "2026-11-29T14:54:30Z");
    assert.deepEqual(page.items, [at(54)]);
    assert.deepEqual(asked, [undefined, "1", "2"]);
});

test("before the first event nothing had happened", async () => {
    const page = await historyPage(reader(3).read, undefined, "2026-11-29T13:00:00Z");
    assert.deepEqual([page.items, noEvents(page)], [[], "Nothing had happened yet"]);
});

test("a history too long to be searched at once leads on", async () => {
    const page = await historyPage(reader(25).read, undefined, "2026-11-29T13:00:00Z");
    assert.deepEqual([page.items, page.next_cursor, noEvents(page)], [[], "20", "All events on these pages came later"]);
});
