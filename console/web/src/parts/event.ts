/** Events as sentences for people. Types without a sentence of their own show as their words. */
import { words } from "../time/format.ts";

type Event = Record<string, unknown>;

const number = (event: Event, name: string): string => (typeof event[name] === "number" ? String(event[name]) : "?");
const text = (event: Event, name: string): string => (typeof event[name] === "string" ? words(event[name] as string) : "");

const SENTENCES: Record<string, (event: Event) => string> = {
    "campaign.wave_opened": event => `Wave ${number(event, "wave")} opened${event.manual === true ? " by hand" : ""}`,
    "campaign.wave_completed": event => `Wave ${number(event, "wave")} completed`,
    "campaign.gate_passed": event => `The gate of wave ${number(event, "wave")} passed; the soak began`,
    "campaign.gate_closed": event => `The ${text(event, "gate")} gate of wave ${number(event, "wave")} closed: ${evidence(event)}`,
    "campaign.paused": event => `Paused${text(event, "cause") ? `, by ${text(event, "cause")}` : ""}`,
    "campaign.adjusted": event => `Adjusted: ${Object.keys((event.changes ?? {}) as Event).map(words).join(", ")}`,
    "campaign.planned": () => "The plan was made",
    "campaign.planning_started": () => "Planning began",
    "campaign.finished": event => `Finished${text(event, "outcome") ? `: ${text(event, "outcome")}` : ""}`,
};

function evidence(event: Event): string {
    const found = event.evidence as Event | undefined;
    if (!found) return "";
    return `${number(found, "failed")} of ${number(found, "settled")} settled devices failed, the limit is ${number(event, "threshold_percent")} %`;
}

export function sayEvent(type: string, event: unknown): string {
    const known = SENTENCES[type];
    if (known && typeof event === "object" && event !== null) return known(event as Event);
    const [subject, what] = type.split(".");
    const plain = what ? `${words(subject ?? "")} ${words(what)}` : words(type);
    return plain.charAt(0).toUpperCase() + plain.slice(1);
}
