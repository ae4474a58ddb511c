/** What can be done with a firmware, and which of its updates that hits. Pure. */
import type { Firmware } from "../api/types.ts";

/** Phases in which a withdrawal ends an update. */
export const BEFORE_INSTALLING = ["queued", "dispatched", "accepted", "downloading", "verifying", "waiting", "deferred"] as const;
/** Phases in which an update runs to its end. */
export const FROM_INSTALLING = ["installing", "staged", "activating", "rebooting"] as const;

export interface Hit {
    cancelled: number;
    running: number;
    /** Phases that have updates. */
    phases: (readonly [phase: string, updates: number])[];
}

export function hit(counted: readonly (readonly [phase: string, updates: number])[]): Hit {
    const sum = (phases: readonly string[]): number => counted.filter(([phase]) => phases.includes(phase)).reduce((all, [, number]) => all + number, 0);
    return { cancelled: sum(BEFORE_INSTALLING), running: sum(FROM_INSTALLING), phases: counted.filter(([, number]) => number > 0) };
}

/** The commands for a firmware in its state. Admins delete. */
export function allowedFor(firmware: Pick<Firmware, "status" | "needed_for_rollback">, isAdmin: boolean): string[] {
    const isNeeded = (firmware.needed_for_rollback?.devices ?? 0) > 0;
    const remove = isAdmin ? [isNeeded && firmware.status !== "withdrawn" ? "force_delete" : "delete"] : [];
    switch (firmware.status) {
        case "active":
            return ["deprecate", "withdraw", ...remove];
        case "deprecated":
            return ["withdraw", ...remove];
        case "withdrawn":
            return remove;
        default:
            return [];
    }
}
