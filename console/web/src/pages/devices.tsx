/** Devices: a search first, then the list; and the updates of all of them. */
import { useState } from "preact/hooks";
import { FilterBar, isAsked, Search } from "../device/filter_bar.tsx";
import { filtersOf } from "../device/filters.ts";
import { Fleet } from "../device/fleet.tsx";
import { FleetUpdates } from "../device/fleet_updates.tsx";
import { FleetVersions } from "../device/fleet_versions.tsx";
import { DeviceList } from "../device/list.tsx";
import { SavedFilters } from "../device/saved_filters.tsx";
import { Register } from "../device/register.tsx";
import { Page } from "../layout/page.tsx";
import { openTab, Tabs } from "../parts/tabs.tsx";
import { query } from "../router/location.ts";
import { at } from "../time/clock.ts";
import { may } from "../session/session.ts";

const TABS = ["Devices", "Updates", "Versions"];

export function Devices(_: { params: Record<string, string> }) {
    const [isOpen, setOpen] = useState(false);
    const tab = openTab(TABS);
    const filters = filtersOf(query.value);
    return (
        <Page title="Devices" showsPast={tab !== "Updates"} aside={may("operator") && !at.value && <button onClick={() => setOpen(true)}>Register a device</button>}>
            <Tabs tabs={TABS} label="Devices and updates" />
            {tab === "Updates" ? <FleetUpdates /> : tab === "Versions" ? <FleetVersions /> : (
                <>
                    <div class="stack">
                        <Search value={filters.q ?? ""} />
                        <FilterBar filters={filters} />
                    </div>
                    {isAsked(filters) || at.value ? <DeviceList filters={filters} /> : <><SavedFilters /><Fleet /></>}
                </>
            )}
            {isOpen && <Register onClose={() => setOpen(false)} />}
        </Page>
    );
}
