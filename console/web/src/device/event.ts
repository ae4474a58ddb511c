/** Events of a device as sentences. Pure. */
import { words } from "../time/format.ts";

type Event = Record<string, unknown>;

const text = (event: Event, name: string): string => (typeof event[name] === "string" || typeof event[name] === "number" ? String(event[name]) : "");
const after = (lead: string, value: string): string => (value ? `${lead}${value}` : "");

function versions(event: Event): string {
    return Object.entries((event.versions ?? {}) as Record<string, unknown>).map(([component, version]) => `${component} ${String(version)}`).join(", ");
}

function version(event: Event): string {
    const spec = event.spec as { firmware?: { version?: string } } | undefined;
    return spec?.firmware?.version ?? text(event, "version");
}

const SENTENCES: Record<string, (event: Event) => string> = {
    "device.registered": event => `Registered${after(", runs ", versions(event))}`,
    "device.came_online": () => "Came online",
    "device.went_offline": () => "Went offline",
    "device.versions_reported": event => `Reported ${versions(event) || "the same versions"}${after(" after boot ", text(event, "boot_id"))}${event.trial === true ? ", on trial" : ""}`,
    "device.version_regressed": event => `Fell back from ${text(event, "from_version")} to ${text(event, "to_version")} by itself`,
    "device.info_reported": () => "Told about itself",
    "device.held": event => `Held${after(" until ", text(event, "until"))}`,
    "device.released": () => "Released",
    "device.amended": () => "Changed by hand",
    "device.credential_issued": event => `A credential was issued by ${text(event, "by")}`,
    "device.credential_revoked": () => "A credential was revoked",
    "update.queued": event => `An update${after(" to ", version(event))} was queued`,
    "update.dispatched": event => `Attempt ${text((event.update ?? {}) as Event, "attempt") || "1"} was sent to the device`,
    "update.accepted": () => "The device accepted the update",
    "update.downloading": () => "The device downloads",
    "update.verifying": () => "The device verifies what it received",
    "update.installing": () => "The device installs",
    "update.staged": () => "The update is installed and waits to be activated",
    "update.activating": () => "The update is being activated",
    "update.rebooting": () => "The device restarts",
    "update.confirmed": event => `Confirmed: it runs ${text(event, "version")}${after(" after boot ", text(event, "boot_id"))}`,
    "update.failed": event => `The update failed${after(": ", words(text(event, "code")))}`,
    "update.attempt_failed": event => `The attempt failed${after(": ", words(text(event, "code")))}`,
    "update.rejected": event => `The device rejected the update${after(": ", words(text(event, "code")))}`,
    "update.deferred": event => `The device deferred the update${after(": ", words(text(event, "code")))}`,
    "update.waiting": event => `The update waits${after(": ", words(text(event, "reason")))}`,
    "command.queued": event => `The command ${text(event, "name")} was sent by a person`,
    "command.sent": event => `Command ${text(event, "n")} went to the device`,
    "command.done": event => `Command ${text(event, "n")} is done`,
    "command.failed": event => `Command ${text(event, "n")} failed${after(": ", words(text(event, "code")))}`,
};

/** A sentence, or null for types without one of their own. */
export function sayDeviceEvent(type: string, event: unknown): string | null {
    const say = SENTENCES[type];
    return say && typeof event === "object" && event !== null ? say(event as Event) : null;
}
