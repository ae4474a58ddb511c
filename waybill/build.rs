//! Compiles the golden files of FEED into the program, so that `waybill asyncapi` includes a new event type automatically.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("no CARGO_MANIFEST_DIR"))?;
    let golden = Path::new(&package).join("../event-store/golden/feed").canonicalize()?;
    println!("cargo::rerun-if-changed={}", golden.display());
    let mut files = fs::read_dir(&golden)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort_by_key(|file| file.file_stem().map(ToOwned::to_owned));
    // Of `{event}.v{version}` and `{event}.v{version}.{field}` the later one is complete.
    let mut messages = BTreeMap::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        messages.insert(name.splitn(4, '.').take(3).collect::<Vec<_>>().join("."), file);
    }
    let mut table = String::from("&[\n");
    for (name, file) in messages {
        writeln!(table, "    ({name:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    table.push(']');
    let directory = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(Path::new(&directory).join("feed_golden.rs"), table)
}
