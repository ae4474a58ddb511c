/** What the keys do, and where more is written. */
import { Dialog } from "../parts/dialog.tsx";
import { KEYS } from "./keys.ts";

export function Help({ onClose }: { onClose: () => void }) {
    return (
        <Dialog title="Help" onClose={onClose}>
            <dl class="keys">
                {KEYS.map(([keys, what]) => (
                    <div key={keys}>
                        <dt><kbd>{keys}</kbd></dt>
                        <dd>{what}</dd>
                    </div>
                ))}
            </dl>
            <p>
                Everything here is a request of the <a href="/api/docs/" target="_blank" rel="noreferrer">API</a>; the clock in the head shows
                the past.
            </p>
            <div class="buttons"><button onClick={onClose}>Close</button></div>
        </Dialog>
    );
}
