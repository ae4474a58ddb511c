/** Names and values, one below the other. */
import type { ComponentChildren } from "preact";

export type Fact = [name: string, value: ComponentChildren] | null | false | undefined;

export function Facts({ facts }: { facts: readonly Fact[] }) {
    return (
        <dl class="facts">
            {facts.map(fact => fact && (
                <div key={fact[0]}>
                    <dt>{fact[0]}</dt>
                    <dd>{fact[1] ?? <span class="muted">–</span>}</dd>
                </div>
            ))}
        </dl>
    );
}
