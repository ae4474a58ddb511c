/** Tables: native, with a heading for each column; on narrow screens each row becomes a block. Rows never change places under the cursor. */
import type { ComponentChildren } from "preact";

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

export function Table<T>({ caption, columns, rows, id }: Props<T>) {
    return (
        <div class="table-frame" tabIndex={0} role="region" aria-label={caption}>
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
                    {rows.map(row => (
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
