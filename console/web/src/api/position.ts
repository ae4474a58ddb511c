/** The latest position in the log that this browser knows of. Reads name it, so that they never show an older state. */

let latest: string | null = null;

/** Parts of a token such as `1795976361006-1002.1`: the log, and the place in it. */
function parts(token: string): [log: string, place: number] | null {
    const [log, place] = token.split("-");
    const number = Number.parseInt(place ?? "", 10);
    return log && Number.isFinite(number) ? [log, number] : null;
}

/** The later of two positions of one log; of two logs the second. */
export function later(one: string | null, other: string): string {
    const [before, after] = [one ? parts(one) : null, parts(other)];
    if (!after) return one ?? other;
    if (!before || before[0] !== after[0] || after[1] >= before[1]) return other.split(".")[0] ?? other;
    return one ?? other;
}

/** Remembers a position that a reply or a live message contained. */
export function remember(position: string | null | undefined): void {
    if (position) latest = later(latest, position);
}

/** What a read asks for; nothing before any position is known. */
export function minPosition(): { min_position?: string } {
    return latest ? { min_position: latest } : {};
}

/** The number of the place, for people. */
export function shortPosition(token: string): string {
    return token.split("-")[1] ?? token;
}
