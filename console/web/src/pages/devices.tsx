/** Devices. */
import { Page } from "../layout/page.tsx";

export function Devices(_: { params: Record<string, string> }) {
    return (
        <Page title="Devices">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
