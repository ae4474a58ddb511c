/** Where a text leads that somebody has copied from a log line, a reply or a message. Pure. */

export interface Jump {
    title: string;
    path: string;
    parameters?: Record<string, string>;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const POSITION = /^\d{10,}-\d+(\.\d+)?$/;
const SHA256 = /^[0-9a-f]{64}$/i;
const UPDATE = /^(.+)~(\d+)$/;

/** The places that a text can mean, the likeliest first. */
export function jumps(text: string): Jump[] {
    const given = text.trim();
    if (given === "") return [];
    const id = encodeURIComponent(given);
    if (POSITION.test(given)) return [{ title: `Event at position ${given}`, path: "/audit", parameters: { record: given } }];
    if (SHA256.test(given)) return [{ title: `Firmware with SHA-256 ${given.slice(0, 12)}…`, path: "/firmware", parameters: { sha256: given } }];
    if (UUID.test(given)) {
        return [
            { title: `Campaign ${given}`, path: `/campaigns/${id}` },
            { title: `Firmware ${given}`, path: `/firmware/${id}` },
            { title: `Audit of correlation ${given}`, path: "/audit", parameters: { correlation_id: given } },
        ];
    }
    const update = UPDATE.exec(given);
    if (update?.[1]) return [{ title: `Update ${given}`, path: `/devices/${encodeURIComponent(update[1])}`, parameters: { tab: "Updates" } }];
    return [
        { title: `Device ${given}`, path: `/devices/${id}` },
        { title: `Devices with “${given}”`, path: "/devices", parameters: { q: given } },
    ];
}
