//! The blocks of commands and scripts in a document.

use std::path::{Path, PathBuf};

const FENCE: &str = "```";

/// Commands or a script as the reader sees them.
pub(super) struct Block {
    /// File and line.
    pub place: String,
    pub language: Language,
    pub text: String,
    pub run: Run,
}

/// What runs a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Shell,
    /// A script of a page.
    JavaScript,
}

impl Language {
    fn of_fence(line: &str) -> Option<Self> {
        match line.trim().strip_prefix(FENCE)? {
            "sh" => Some(Self::Shell),
            "js" => Some(Self::JavaScript),
            _ => None,
        }
    }
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

/// The `sh` and `js` blocks of a document.
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
            None => match Language::of_fence(line) {
                Some(language) => {
                    let (place, run) =
                        (format!("{document}:{}", index + 1), std::mem::replace(&mut run, Run::AsWritten));
                    open = Some(Block { place, language, text: String::new(), run });
                }
                None => run = comment(line).unwrap_or(run),
            },
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
