/** How the service is: its parts, messages that could not be processed, and programs that read the feed. */
import { DeadLetters } from "../health/dead_letters.tsx";
import { Feed } from "../health/feed.tsx";
import { State } from "../health/state.tsx";
import { Page } from "../layout/page.tsx";
import { openTab, Tabs } from "../parts/tabs.tsx";

const TABS = ["Parts", "Dead letters", "Feed"];

export function Health(_: { params: Record<string, string> }) {
    const shown = openTab(TABS);
    return (
        <Page title="Health">
            <Tabs tabs={TABS} label="What" />
            {shown === "Parts" && <State />}
            {shown === "Dead letters" && <DeadLetters />}
            {shown === "Feed" && <Feed />}
        </Page>
    );
}
