/** Firmware. */
import { Page } from "../layout/page.tsx";

export function FirmwareList(_: { params: Record<string, string> }) {
    return (
        <Page title="Firmware">
            <p class="muted">Not there yet.</p>
        </Page>
    );
}
