/** Rows that keep their places while somebody points at them. Pure. */

/** How many rows have come, gone or moved. */
export function changes(shown: readonly string[], now: readonly string[]): number {
    const places = new Map(shown.map((id, n) => [id, n]));
    const left = new Set(shown);
    let changed = 0;
    now.forEach((id, n) => {
        left.delete(id);
        if (places.get(id) !== n) changed += 1;
    });
    return changed + left.size;
}

/** The rows in the order that is shown, each with its newest data; a row that has gone keeps its last. */
export function inPlace<T>(shown: readonly string[], known: ReadonlyMap<string, T>): T[] {
    return shown.flatMap(id => {
        const row = known.get(id);
        return row === undefined ? [] : [row];
    });
}
