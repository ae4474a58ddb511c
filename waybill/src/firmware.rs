//! `waybill firmware`. `sign` is what a build server runs: it needs no Waybill, it reads the key and the bytes, and prints a signature.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use domain::values::Sha256Digest;
use serde_json::json;
use sha2::{Digest, Sha256};
use trust::signatures::{MANIFEST_SCHEME, Manifest, SigningKey};

use crate::copy_store::{self, CopyStoreArgs};
use crate::out;
use crate::seal_firmware::{self, SealArgs};

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Hex digits of a fingerprint that name the key in a signature.
const SHORT_ID_DIGITS: usize = 8;

/// What to do with a firmware file.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a firmware file; the signature is printed as JSON, for the part `signature` of the upload
    Sign(SignArgs),
    /// Copy all firmware from one store to another, while the service reads both
    CopyStore(CopyStoreArgs),
    /// Seal all stored firmware of a tenant under its newest key, while the service runs; can be interrupted and repeated
    Seal(Box<SealArgs>),
}

/// The key, and what the file is: the signature says that it is this version of this component for this model.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Ed25519 private key in PEM, such as `openssl genpkey -algorithm ed25519` makes
    #[arg(long)]
    pub key: PathBuf,
    /// As in the metadata of the upload
    #[arg(long)]
    pub device_model: String,
    /// As in the metadata of the upload
    #[arg(long)]
    pub version: String,
    /// As in the metadata of the upload
    #[arg(long, default_value = "firmware")]
    pub component: String,
    /// The firmware
    pub file: PathBuf,
}

/// Runs the command.
pub async fn run(command: &Command) -> Result<()> {
    match command {
        Command::Sign(args) => sign(args),
        Command::CopyStore(args) => copy_store::run(args).await,
        Command::Seal(args) => seal_firmware::run(args).await,
    }
}

fn sign(args: &SignArgs) -> Result<()> {
    let pem = fs::read_to_string(&args.key).with_context(|| format!("{} can't be read", args.key.display()))?;
    let key = SigningKey::from_pem(&pem).with_context(|| format!("{} is no key", args.key.display()))?;
    let (size, sha256) = measure(&args.file).with_context(|| format!("{} can't be read", args.file.display()))?;
    let manifest = Manifest::new(&args.device_model, &args.component, &args.version, size, sha256);
    let manifest = manifest.context("model, component and version are not empty and have no control characters")?;
    let fingerprint = Sha256Digest(key.verification_key().fingerprint()).to_string();
    let signature = STANDARD.encode(key.sign(&manifest));
    out::note(format_args!("signed by the key {fingerprint}\n{manifest}"));
    out::line(json!({"scheme": MANIFEST_SCHEME, "key": &fingerprint[..SHORT_ID_DIGITS], "sig": signature}))
}

/// Size and digest of a file, read piece by piece.
fn measure(path: &Path) -> Result<(u64, Sha256Digest)> {
    let (mut file, mut hash, mut size) = (fs::File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, Sha256Digest(hash.finalize().into())));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}
