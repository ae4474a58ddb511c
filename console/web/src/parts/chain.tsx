/** Events as sentences, the newest first: a history, or why something is as it is. */
import type { HistoryItem } from "../api/types.ts";
import { Time } from "../time/time.tsx";
import { shortPosition } from "../api/position.ts";
import { href } from "../router/location.ts";
import { sayEvent } from "./event.ts";

export interface Link {
    position: string;
    type: string;
    detail: string;
    actor?: string | null;
    reason?: string | null;
    at: string;
    raw?: unknown;
}

/** An event of a history. */
export function linkOf(item: HistoryItem): Link {
    const { position, type, actor, reason, event } = item;
    return { position, type, actor, reason, at: item.recorded_at ?? item.stored_at, detail: sayEvent(type, event), raw: item.error ?? event };
}

export function Chain({ links, label }: { links: readonly Link[]; label: string }) {
    return (
        <ol class="chain" aria-label={label}>
            {links.map(link => (
                <li key={link.position}>
                    <p>
                        <span class="strong">{link.detail}</span>
                        {link.reason && <q class="reason">{link.reason}</q>}
                    </p>
                    <p class="muted small">
                        <Time at={link.at} /> · {link.actor ?? "unknown"} ·{" "}
                        <a href={href("/audit", { record: link.position })}>#{shortPosition(link.position)}</a> · <code>{link.type}</code>
                    </p>
                    {link.raw !== undefined && (
                        <details>
                            <summary>Raw</summary>
                            <pre>{JSON.stringify(link.raw, null, 2)}</pre>
                        </details>
                    )}
                </li>
            ))}
        </ol>
    );
}
