/** The palette: a page by its name, and a device, update, campaign, firmware, position or correlation by its id. */
import { useState } from "preact/hooks";
import { api, body } from "../api/client.ts";
import { useResource } from "../api/resource.ts";
import { Dialog } from "../parts/dialog.tsx";
import { href, navigate } from "../router/location.ts";
import { jumps, type Jump } from "./jump.ts";
import { PLACES } from "./nav.tsx";
import { may } from "../session/session.ts";

/** Most devices and campaigns that are suggested. */
const FOUND_MAX = 6;
/** Shortest text that is searched for. */
const SEARCH_MIN = 2;

export function Palette({ onClose }: { onClose: () => void }) {
    const [text, setText] = useState("");
    const [chosen, setChosen] = useState(0);
    const found = useFound(text.trim());
    const typed = text.trim().toLowerCase();
    const places = PLACES.filter(place => (!place.role || may(place.role)) && place.title.toLowerCase().startsWith(typed));
    const pages: Jump[] = [...places, ...("new campaign".includes(typed) && typed ? [{ title: "New campaign", path: "/campaigns/new" }] : [])];
    const all: Jump[] = typed === "" ? pages : [...pages, ...found, ...jumps(text)];
    const offered = all.filter((one, n) => all.findIndex(other => same(one, other)) === n);
    const go = (jump: Jump | undefined): void => {
        if (!jump) return;
        onClose();
        navigate(href(jump.path, jump.parameters));
    };
    const pressed = (event: KeyboardEvent): void => {
        const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
        if (by !== 0) {
            event.preventDefault();
            setChosen((chosen + by + offered.length) % Math.max(1, offered.length));
        }
        if (event.key === "Enter") {
            event.preventDefault();
            go(offered[chosen]);
        }
    };
    return (
        <Dialog title="Search or jump" onClose={onClose}>
            <input type="search" class="palette-input" aria-label="A page, a name or an id" placeholder="A page, a name or an id" value={text}
                role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={offered.length > 0 ? `jump-${chosen}` : undefined}
                autocomplete="off" list={undefined} spellcheck={false} onKeyDown={pressed}
                onInput={event => {
                    setText(event.currentTarget.value);
                    setChosen(0);
                }} />
            <ul class="palette" id="palette-list" role="listbox" aria-label="Results">
                {offered.map((jump, n) => (
                    <li key={jump.title + jump.path} id={`jump-${n}`} role="option" aria-selected={n === chosen} onClick={() => go(jump)}>
                        {jump.title}
                    </li>
                ))}
            </ul>
        </Dialog>
    );
}

function same(one: Jump, other: Jump): boolean {
    return one.path === other.path && JSON.stringify(one.parameters) === JSON.stringify(other.parameters);
}

/** Devices and campaigns whose names or ids fit. */
function useFound(text: string): Jump[] {
    const wanted = text.length >= SEARCH_MIN ? text : null;
    const devices = useResource(wanted && `palette-devices ${wanted}`, signal =>
        body(api.GET("/devices", { signal, params: { query: { q: wanted ?? "", limit: FOUND_MAX } } })));
    const campaigns = useResource(wanted && "palette-campaigns", signal => body(api.GET("/campaigns", { signal, params: { query: { limit: 100 } } })));
    const named = (campaigns.data?.items ?? []).filter(one => one.name?.toLowerCase().includes(text.toLowerCase())).slice(0, FOUND_MAX);
    return wanted === null
        ? []
        : [
              ...named.map(one => ({ title: `Campaign ${one.name ?? ""}`, path: `/campaigns/${one.campaign_id}` })),
              ...(devices.data?.items ?? []).map(one => ({
                  title: `Device ${one.device_id}${one.name && one.name !== one.device_id ? ` (${one.name})` : ""}`,
                  path: `/devices/${encodeURIComponent(one.device_id)}`,
              })),
          ];
}
