/** The events of a device, the newest first: all, or those of some kinds. */
import { noEvents } from "../api/history.ts";
import { Chain, linkOf } from "../parts/chain.tsx";
import { Check } from "../parts/field.tsx";
import { Pager } from "../parts/pager.tsx";
import { Empty, Shown } from "../parts/states.tsx";
import { href, query, setQuery } from "../router/location.ts";
import { may } from "../session/session.ts";
import { sayDeviceEvent } from "./event.ts";
import { KINDS, ofKinds } from "./kinds.ts";
import { useHistory } from "./read.ts";

export function Timeline({ id }: { id: string }) {
    const history = useHistory(id, query.value.get("cursor") ?? undefined);
    const chosen = (query.value.get("kinds") ?? "").split(",").filter(name => name !== "");
    const toggle = (name: string, isOn: boolean): void =>
        setQuery({ kinds: (isOn ? [...chosen, name] : chosen.filter(one => one !== name)).join(",") }, { replace: true });
    return (
        <div class="stack">
            <fieldset class="kinds">
                <legend class="strong">Show only</legend>
                {KINDS.map(kind => <Check key={kind.name} label={kind.label} checked={chosen.includes(kind.name)} onChange={isOn => toggle(kind.name, isOn)} />)}
            </fieldset>
            <Shown of={history}>
                {list => {
                    const shown = ofKinds(list.items, chosen);
                    return (
                        <>
                            {chosen.length > 0 && <p class="muted small" role="status">{shown.length} of the {list.items.length} events of this page.</p>}
                            {shown.length === 0 ? <Empty title={list.items.length === 0 ? noEvents(list) : "No event of these kinds on this page"} /> : (
                                <Chain label="Timeline" links={shown.map(item => {
                                    const link = linkOf(item);
                                    return { ...link, detail: sayDeviceEvent(item.type, item.event) ?? link.detail };
                                })} />
                            )}
                            <Pager next={list.next_cursor} shown={shown.length} />
                            {may("auditor") && <p class="muted small"><a href={href("/audit", { aggregate: `device/${id}` })}>Search these events in the audit</a></p>}
                        </>
                    );
                }}
            </Shown>
        </div>
    );
}
