//! The documents as their readers use them: every `sh` block of the README and the docs runs against `waybill up`, as written,
//! and every `js` block as a page would run it.
//!
//! A block that can't run here stands behind a comment `<!-- not run: why -->`. One that needs a state of its own names it:
//! `<!-- run with: COMMAND -->` runs the command of `documentation/seed.sh` before the block, `<!-- run each line with: COMMAND -->` before
//! each of its lines. Lines such as `C=…` stand for a value that the reader fills in; here it is one of the seeded fleet.

mod blocks;
mod clients;
mod place;

use std::fmt::Write;

use blocks::{Block, Language, Run};
use place::Place;

/// Documents with blocks, in the order in which they run: what one changes is there for the next.
const DOCUMENTS: [&str; 18] = [
    "README.md",
    "docs/cli.md",
    "examples/README.md",
    "docs/campaigns.md",
    "docs/groups.md",
    "docs/statistics.md",
    "docs/search.md",
    "docs/live.md",
    "docs/monitoring.md",
    "docs/audit.md",
    "docs/device-protocol.md",
    "docs/firmware-signing.md",
    "docs/exposure.md",
    "docs/firmware-stores.md",
    "docs/lorawan.md",
    "docs/security.md",
    "docs/bench.md",
    "docs/runbook.md",
];
/// Its first block defines what the others' blocks use.
const SHELL: &str = "docs/runbook.md";
/// Most blocks that don't run: more would make the test a formality.
const NOT_RUN_MAX: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_in_the_documents_works_as_written() {
    let place = Place::start().await;
    let shell = blocks::of(SHELL).into_iter().next().unwrap().text;
    place.run_collection().await;
    let mut not_run = Vec::new();
    for document in DOCUMENTS {
        let blocks = blocks::of(document);
        assert!(!blocks.is_empty(), "{document} has no commands: take it off the list");
        not_run.extend(blocks.iter().filter_map(|block| match &block.run {
            Run::Not(why) => Some(format!("{}: {why}", block.place)),
            _ => None,
        }));
        place.run(document, &script(&shell, &blocks)).await;
    }
    assert!(not_run.len() <= NOT_RUN_MAX, "too many commands don't run: {not_run:#?}");
}

#[test]
fn every_document_with_commands_is_tested() {
    for document in blocks::documents() {
        assert!(DOCUMENTS.contains(&document.as_str()) || blocks::of(&document).is_empty(), "{document} isn't tested");
    }
}

/// One shell for a document, so that a block finds what earlier ones have set.
fn script(shell: &str, blocks: &[Block]) -> String {
    let mut script = format!("{shell}\nsource \"$SEED\"\n");
    for Block { place, language, text, run } in blocks {
        let text = match language {
            Language::Shell => text.clone(),
            Language::JavaScript => format!("page <<'END_OF_SCRIPT'\n{text}END_OF_SCRIPT\n"),
        };
        let lines: Vec<&str> = text.lines().filter(|line| !is_placeholder(line)).collect();
        writeln!(script, "echo '## {place}'").unwrap();
        match run {
            Run::Not(_) => {}
            Run::AsWritten => writeln!(script, "{}", lines.join("\n")).unwrap(),
            Run::With(command) => writeln!(script, "{command}\n{}", lines.join("\n")).unwrap(),
            Run::EachLineWith(command) => {
                for line in lines {
                    writeln!(script, "{command}\n{line}").unwrap();
                }
            }
        }
    }
    script
}

/// `C=…`, perhaps with a comment.
fn is_placeholder(line: &str) -> bool {
    line.split_once("=…").is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase()))
}
