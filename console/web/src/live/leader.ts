/**
 * One stream for all tabs of a browser: it has six connections to a host over HTTP/1.1. The tab that holds the lock follows the stream and passes
 * messages on; when it closes, another one takes over. Browsers without locks have a stream in each tab.
 */
import { type Message, receive } from "./messages.ts";
import { follow } from "./stream.ts";

const NAME = "waybill-live";

/** Follows live messages until the signal aborts. `who` keeps the tabs of one person apart from those of another. */
export function start(who: string, stop: AbortSignal): void {
    if (!navigator.locks || !window.BroadcastChannel) return follow(receive, stop);
    const name = `${NAME}:${who}`;
    const channel = new BroadcastChannel(name);
    channel.onmessage = (event: MessageEvent<Message | "hello?">) => {
        if (event.data === "hello?") return;
        receive(event.data);
    };
    stop.addEventListener("abort", () => channel.close());
    const lead = (): Promise<void> =>
        new Promise(resolve => {
            let state: Message = { type: "state", state: "connecting" };
            const tell = (message: Message): void => {
                if (message.type === "state") state = message;
                if (message.type === "hello") state = { type: "state", state: "live" };
                receive(message);
                if (!stop.aborted) channel.postMessage(message);
            };
            // A tab that has just opened asks how the stream is.
            channel.onmessage = event => event.data === "hello?" && channel.postMessage(state);
            follow(tell, stop);
            stop.addEventListener("abort", () => resolve());
        });
    channel.postMessage("hello?");
    navigator.locks.request(name, { signal: stop }, lead).catch(() => {});
}
