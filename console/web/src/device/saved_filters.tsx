/** Filters of devices that are kept in this browser, by name. Dynamic groups are the same for everybody. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { href, query } from "../router/location.ts";
import { session } from "../session/session.ts";
import { useGroups } from "./filter_bar.tsx";
import { added, NAME_MAX, type Saved, savedOf, worthSaving } from "./saved.ts";

function key(): string {
    return `waybill-filters-${session.value?.tenant_id ?? ""}`;
}

function read(): Saved[] {
    try {
        return savedOf(localStorage.getItem(key()));
    } catch {
        return [];
    }
}

/** Tells all lists that something was kept or removed. */
const changes = signal(0);

function write(all: readonly Saved[]): void {
    try {
        localStorage.setItem(key(), JSON.stringify(all));
    } catch {
        // A browser without storage keeps none.
    }
    changes.value += 1;
}

/** The kept filters, and groups whose members are found by a filter. */
export function SavedFilters() {
    void changes.value;
    const all = read();
    const groups = useGroups().filter(group => group.kind === "dynamic");
    if (all.length === 0 && groups.length === 0) return null;
    return (
        <ul class="chips" aria-label="Saved filters">
            <li class="muted small" aria-hidden="true">Saved</li>
            {all.map(one => (
                <li key={one.name} class="tag">
                    <a href={href("/devices", Object.fromEntries(new URLSearchParams(one.query)))}>{one.name}</a>{" "}
                    <button class="inline" aria-label={`Forget ${one.name}`} onClick={() => write(all.filter(other => other !== one))}><span aria-hidden="true">✕</span></button>
                </li>
            ))}
            {groups.map(group => <li key={group.group_id} class="tag"><a href={href("/devices", { group: group.group_id })}>{group.name ?? group.group_id}</a></li>)}
        </ul>
    );
}

/** Keeps the filters and columns of the address under a name. */
export function SaveFilter() {
    const [isOpen, setOpen] = useState(false);
    const [name, setName] = useState("");
    const save = (event: Event): void => {
        event.preventDefault();
        write(added(read(), { name: name.trim(), query: worthSaving(query.value) }));
        setOpen(false);
        setName("");
    };
    return (
        <>
            <button class="chip" onClick={() => setOpen(true)}>Save this filter</button>
            {isOpen && (
                <Dialog title="Save this filter" onClose={() => setOpen(false)}>
                    <form onSubmit={save}>
                        <Field label="Name" value={name} onInput={text => setName(text.slice(0, NAME_MAX))} required hint="It is kept in this browser, with the columns." />
                        <div class="buttons"><button class="primary" disabled={name.trim() === ""}>Save</button></div>
                    </form>
                </Dialog>
            )}
        </>
    );
}
