/** Tabs of a page: links, because the URL says which one is open. */
import { href, path, query } from "../router/location.ts";

/** The open tab. */
export function openTab(tabs: readonly string[]): string {
    const wanted = query.value.get("tab") ?? "";
    return tabs.includes(wanted) ? wanted : (tabs[0] ?? "");
}

export function Tabs({ tabs, label }: { tabs: readonly string[]; label: string }) {
    const open = openTab(tabs);
    return (
        <nav class="tabs" aria-label={label}>
            {tabs.map(tab => (
                <a key={tab} href={href(path.value, { tab: tab === tabs[0] ? null : tab })} aria-current={tab === open ? "page" : undefined}>
                    {tab}
                </a>
            ))}
        </nav>
    );
}
