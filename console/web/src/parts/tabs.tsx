/** Tabs of a page: links, because the URL says which one is open. */
import { useEffect, useRef } from "preact/hooks";
import { href, path, query } from "../router/location.ts";

/** The open tab. */
export function openTab(tabs: readonly string[]): string {
    const wanted = query.value.get("tab") ?? "";
    return tabs.includes(wanted) ? wanted : (tabs[0] ?? "");
}

export function Tabs({ tabs, label }: { tabs: readonly string[]; label: string }) {
    const open = openTab(tabs);
    const frame = useRef<HTMLElement>(null);
    // On narrow screens the tabs scroll; the open one is in sight.
    useEffect(() => frame.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [open]);
    return (
        <nav class="tabs" ref={frame} aria-label={label}>
            {tabs.map(tab => (
                <a key={tab} href={href(path.value, { tab: tab === tabs[0] ? null : tab })} aria-current={tab === open ? "page" : undefined}>
                    {tab}
                </a>
            ))}
        </nav>
    );
}
