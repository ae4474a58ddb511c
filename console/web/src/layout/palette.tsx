/** The palette: a page by its name, and anything by its id, its name, its digest or its position in the log. */
import { useEffect, useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { sentence } from "../api/problem.ts";
import { useResource } from "../api/resource.ts";
import { Dialog } from "../parts/dialog.tsx";
import { href, navigate } from "../router/location.ts";
import { exactHit, type Hit, jumpOf, type Jump } from "./hits.ts";
import { PLACES } from "./nav.tsx";
import { may } from "../session/session.ts";

/** Most hits of each kind. */
const HITS_MAX = 6;
/** Longest text that the service searches for. */
const TEXT_MAX = 200;

interface Found {
    items: Hit[];
    more: string[];
}

export function Palette({ onClose }: { onClose: () => void }) {
    const [text, setText] = useState("");
    const [moved, setMoved] = useState<number | null>(null);
    const [isWaiting, setWaiting] = useState(false);
    const typed = text.trim();
    const found = useResource<Found>(typed === "" ? null : `search ${typed}`, signal =>
        body(api.GET("/search", { signal, params: { query: { q: typed, limit: HITS_MAX } } })));
    const hits = found.data?.items ?? [];
    const exact = exactHit(hits, typed);
    const offered = [...pages(typed), ...hits.flatMap(hit => jumpOf(hit) ?? []), ...lists(typed)];
    const first = exact ? offered.findIndex(jump => jump.group !== PAGES && same(jump, jumpOf(exact))) : 0;
    const chosen = moved ?? first;
    const go = (jump: Jump | undefined): void => {
        if (!jump) return;
        onClose();
        navigate(href(jump.path, jump.parameters));
    };
    // Who pressed Enter before the answer came goes to what the text names.
    useEffect(() => {
        if (!isWaiting || (!found.data && !found.problem)) return;
        setWaiting(false);
        if (exact) go(offered[first]);
    }, [isWaiting, found.data, found.problem]);
    const pressed = (event: KeyboardEvent): void => {
        const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
        if (by !== 0) {
            event.preventDefault();
            setMoved((chosen + by + offered.length) % Math.max(1, offered.length));
        }
        if (event.key === "Enter") {
            event.preventDefault();
            if (typed !== "" && moved === null && !found.data && !found.problem) setWaiting(true);
            else go(offered[chosen]);
        }
    };
    const groups = [...new Set(offered.map(jump => jump.group))];
    return (
        <Dialog title="Search or jump" onClose={onClose}>
            <input type="search" class="palette-input" aria-label="A page, a name or an id" placeholder="A page, a name, an id, a digest or a position" value={text}
                role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={offered.length > 0 ? `jump-${chosen}` : undefined}
                maxLength={TEXT_MAX} autocomplete="off" list={undefined} spellcheck={false} onKeyDown={pressed}
                onInput={event => {
                    setText(event.currentTarget.value);
                    setMoved(null);
                    setWaiting(false);
                }} />
            <div class="palette" id="palette-list" role="listbox" aria-label="Results">
                {groups.map(group => (
                    <div key={group} role="group" aria-label={group}>
                        <p class="muted small" aria-hidden="true">{group}</p>
                        {offered.map((jump, n) => jump.group === group && (
                            <div key={n} class="jump" id={`jump-${n}`} role="option" aria-selected={n === chosen} onClick={() => go(jump)}>
                                <span class="strong">{jump.title}</span> <span class="muted small">{jump.detail}</span>
                            </div>
                        ))}
                    </div>
                ))}
            </div>
            <p class="muted small" role="status">
                {typed !== "" && (found.problem ? sentence(found.problem) : !found.data ? "Searching …" : hits.length === 0 ? "Nothing has this id, and no name begins so."
                    : found.data.more.length > 0 && "There are more: a longer text finds fewer.")}
            </p>
        </Dialog>
    );
}

const PAGES = "Pages";

function pages(typed: string): Jump[] {
    const all = [...PLACES.filter(place => !place.role || may(place.role)), { title: "New campaign", path: "/campaigns/new" }];
    return all.filter(({ title }) => title.toLowerCase().startsWith(typed.toLowerCase())).map(({ title, path }) => ({ title, path, group: PAGES }));
}

/** Lists that take the text as a filter. */
function lists(typed: string): Jump[] {
    return typed === "" ? [] : [{ title: `Devices that begin with “${typed}”`, path: "/devices", parameters: { q: typed }, group: "Lists" }];
}

function same(one: Jump, other: Jump | null): boolean {
    return one.path === other?.path && JSON.stringify(one.parameters) === JSON.stringify(other.parameters);
}
