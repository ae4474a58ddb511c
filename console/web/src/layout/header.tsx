/** The head of every page. */
import { href } from "../router/location.ts";
import { session, signOut } from "../session/session.ts";
import { HeaderClock } from "./clock.tsx";
import { density, theme } from "./theme.ts";

function Choice({ of, label, icon }: { of: typeof theme; label: string; icon: string }) {
    const said = `${label}: ${of.value.value}`;
    return <button class="quiet" onClick={of.next} aria-label={`${said}. Change`} title={said}><span aria-hidden="true">{icon}</span></button>;
}

export function Header({ openPalette, openHelp }: { openPalette: () => void; openHelp: () => void }) {
    return (
        <header class="head">
            <a class="brand" href={href("/")}>Waybill</a>
            <button class="search" onClick={openPalette}>
                <span>Search or jump to …</span> <kbd>/</kbd>
            </button>
            <HeaderClock />
            <Choice of={theme} label="Colours" icon="◐" />
            <Choice of={density} label="Rows" icon="≡" />
            <button class="quiet" onClick={openHelp} aria-label="Help" title="Help (?)">?</button>
            <details class="who">
                <summary>{session.value?.actor.replace(/^user:/, "") ?? ""}</summary>
                <div class="card">
                    <p>
                        {session.value?.actor}<br />
                        <span class="muted">tenant {session.value?.tenant_id} · {session.value?.roles.join(", ") || "for some devices"}</span>
                    </p>
                    <button onClick={() => void signOut()}>Sign out</button>
                </div>
            </details>
        </header>
    );
}
