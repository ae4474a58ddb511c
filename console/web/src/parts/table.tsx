/** Tables: native, with a heading for each column; on narrow screens each row becomes a block. Rows never change places under the cursor. */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { changes, inPlace } from "./steady.ts";

export interface Column<T> {
    title: string;
    cell: (row: T) => ComponentChildren;
    /** Numbers are aligned to the right, in tabular figures. */
    isNumber?: boolean;
}

interface Props<T> {
    /** What the table has, for those who don't see it. */
    caption: string;
    columns: readonly Column<T>[];
    rows: readonly T[];
    id: (row: T) => string;
}

/** Rows in the order that is shown, and how many others there are now. The order follows unless somebody points at the table. */
function useSteady<T>(rows: readonly T[], id: (row: T) => string) {
    const frame = useRef<HTMLDivElement>(null);
    const [, again] = useState(0);
    const known = useRef(new Map<string, T>());
    const order = useRef<readonly string[]>([]);
    const now = rows.map(id);
    known.current = new Map([...inPlaceOf(order.current, known.current), ...rows.map((row): [string, T] => [id(row), row])]);
    const isHeld = frame.current?.matches(":hover, :focus-within") ?? false;
    if (order.current.length === 0 || !isHeld) order.current = now;
    const show = (): void => {
        order.current = now;
        again(n => n + 1);
    };
    return { frame, shown: inPlace(order.current, known.current), changed: changes(order.current, now), show, settle: () => again(n => n + 1) };
}

function inPlaceOf<T>(order: readonly string[], known: ReadonlyMap<string, T>): [string, T][] {
    return order.flatMap(id => (known.has(id) ? [[id, known.get(id) as T] as [string, T]] : []));
}

export function Table<T>({ caption, columns, rows, id }: Props<T>) {
    const { frame, shown, changed, show, settle } = useSteady(rows, id);
    return (
        <div class="table-frame" ref={frame} tabIndex={0} role="group" aria-label={caption} onMouseLeave={() => changed > 0 && settle()}>
            {changed > 0 && <button class="pill" onClick={show}>{changed} changed – show</button>}
            <table class="rows">
                <caption class="hidden">{caption}</caption>
                <thead>
                    <tr>
                        {columns.map(column => (
                            <th key={column.title} scope="col" class={column.isNumber ? "number" : undefined}>{column.title}</th>
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {shown.map(row => (
                        <tr key={id(row)} data-row={id(row)}>
                            {columns.map(column => (
                                <td key={column.title} data-title={column.title} class={column.isNumber ? "number" : undefined}>
                                    <div>{column.cell(row)}</div>
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}
