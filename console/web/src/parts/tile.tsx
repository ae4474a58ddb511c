/** A number with its word; a link to what it counts. */
import { count } from "../time/format.ts";

export function Tile({ number, word, to: target }: { number: number; word: string; to: string }) {
    return (
        <a class="tile" href={target}>
            <span class="tile-number">{count(number)}</span>
            <span class="tile-word">{word}</span>
        </a>
    );
}
