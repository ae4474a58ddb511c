/** The whole console: the page of the address in its frame, or the sign-in. */
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import type { ComponentChildren, ComponentType } from "preact";
import { Header } from "./layout/header.tsx";
import { Help } from "./layout/help.tsx";
import { listen } from "./layout/keys.ts";
import { Navigation } from "./layout/nav.tsx";
import { Palette } from "./layout/palette.tsx";
import { Page } from "./layout/page.tsx";
import { start } from "./live/leader.ts";
import { ROUTES } from "./routes.ts";
import { Failed, Loading } from "./parts/states.tsx";
import { match } from "./router/match.ts";
import { path } from "./router/location.ts";
import { session, sessionProblem } from "./session/session.ts";
import { SignIn } from "./session/sign_in.tsx";
import { at } from "./time/clock.ts";

export function App() {
    if (session.value) return <Frame />;
    if (session.value === null) return <SignIn />;
    return <main class="sign-in">{sessionProblem.value ? <Failed problem={sessionProblem.value} /> : <Loading />}</main>;
}

/** Follows live messages as long as the person is signed in. */
function useLive(): void {
    const who = session.value ? `${session.value.tenant_id}/${session.value.actor}` : null;
    useEffect(() => {
        if (who === null) return;
        const stop = new AbortController();
        start(who, stop.signal);
        return () => stop.abort();
    }, [who]);
}

/** The heading of a new page gets the focus, so that readers of the screen begin there. */
function useFocus(): void {
    const here = path.value;
    useEffect(() => {
        window.scrollTo(0, 0);
        document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
        // On narrow screens the navigation is one line that scrolls.
        document.querySelector(".main-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    }, [here]);
}

function Frame() {
    const [open, setOpen] = useState<"palette" | "help" | null>(null);
    useLive();
    useFocus();
    useEffect(() => listen({ palette: () => setOpen("palette"), help: () => setOpen("help") }), []);
    return (
        <div class={at.value ? "frame past" : "frame"}>
            <a class="skip" href="#main">Skip to the page</a>
            <Header openPalette={() => setOpen("palette")} openHelp={() => setOpen("help")} />
            <Navigation />
            <main id="main"><Shown /></main>
            {open === "palette" && <Palette onClose={() => setOpen(null)} />}
            {open === "help" && <Help onClose={() => setOpen(null)} />}
        </div>
    );
}

function Shown() {
    const found = match<ComponentType<{ params: Record<string, string> }>>(ROUTES, path.value);
    if (!found) return <Page title="Nothing is here"><p>There is no page at this address.</p></Page>;
    // Another device or campaign is another page: nothing of the one before stays.
    return <Guarded key={path.value}><found.page params={found.params} /></Guarded>;
}

/** A page that can't be drawn says so, and the frame around it stays: the other pages can still be opened. */
function Guarded({ children }: { children: ComponentChildren }) {
    const [error] = useErrorBoundary(thrown => console.error(thrown));
    if (error === undefined || error === null) return <>{children}</>;
    return (
        <Page title="This page can't be shown">
            <div class="notice bad" role="alert">
                <p><span aria-hidden="true">✕ </span>The console failed: {error instanceof Error ? error.message : String(error)}. The service itself is not affected.</p>
                <button onClick={() => window.location.reload()}>Load it again</button>
            </div>
        </Page>
    );
}
