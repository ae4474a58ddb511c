//! The blocks of commands in a document.

use std::path::{Path, PathBuf};

const FENCE: &str = "```";

/// Commands as the reader sees them.
pub(super) struct Block {
    /// File and line.
    pub place: String,
    pub text: String,
    pub run: Run,
}

/// How a block runs.
#[derive(Clone)]
pub(super) enum Run {
    AsWritten,
    /// After a command of the seed.
    With(String),
    /// Each line after a command of the seed.
    EachLineWith(String),
    /// Not here, and why.
    Not(String),
}

/// The project's directory.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All documents for readers.
pub(super) fn documents() -> Vec<String> {
    let of = |directory: &str| {
        let entries = std::fs::read_dir(root().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.ends_with(".md"))
            .map(|name| Path::new(directory).join(name).display().to_string())
            .collect::<Vec<_>>()
    };
    ["", "docs", "examples"].into_iter().flat_map(of).collect()
}

/// The `sh` blocks of a document.
pub(super) fn of(document: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
    let (mut blocks, mut open, mut run) = (Vec::new(), None::<Block>, Run::AsWritten);
    for (index, line) in text.lines().enumerate() {
        match open.take() {
            Some(block) if line.trim() == FENCE => blocks.push(block),
            Some(mut block) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            None if line.trim() == "```sh" => {
                let place = format!("{document}:{}", index + 1);
                open = Some(Block { place, text: String::new(), run: std::mem::replace(&mut run, Run::AsWritten) });
            }
            None => run = comment(line).unwrap_or(run),
        }
    }
    assert!(open.is_none(), "{document}: a block doesn't end");
    blocks
}

/// What a comment says about the next block.
fn comment(line: &str) -> Option<Run> {
    let (what, text) = line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")?;
    match what {
        "not run" => Some(Run::Not(text.to_owned())),
        "run with" => Some(Run::With(text.to_owned())),
        "run each line with" => Some(Run::EachLineWith(text.to_owned())),
        _ => None,
    }
}
