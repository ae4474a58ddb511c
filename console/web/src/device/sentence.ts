/** A device in a sentence. Pure. */
import type { Device, Update } from "../api/types.ts";
import { words } from "../time/format.ts";

export function deviceSentence(device: Device, live: Pick<Update, "version" | "phase" | "progress" | "kind" | "component"> | undefined): string {
    const runs = runsWhat(device);
    if (device.lifecycle !== "active") return `It is ${words(device.lifecycle)}. ${runs}`;
    const held = device.held ? " It is held: no update reaches it." : "";
    if (!live) return `${runs}${device.waiting_updates.length > 0 ? " An update waits." : ""}${held}`;
    const percent = live.progress == null ? "" : ` (${live.progress}\u00a0%)`;
    const what = live.kind === "rollback" ? "A rollback" : "An update";
    const component = live.component === "firmware" ? "" : ` of ${live.component}`;
    return `${runs} ${what}${component} to ${live.version} is ${words(live.phase)}${percent}.${held}`;
}

function runsWhat(device: Device): string {
    const all = Object.entries(device.versions);
    if (all.length === 0) return "What it runs is not known.";
    return `It runs ${all.map(([component, version]) => `${component} ${version}`).join(", ")}.`;
}
