//! The decoder in JavaScript for ChirpStack's device profiles, run by node with the vectors of the codec in Rust.

use std::process::Command;

use serde_json::{Value, json};

const DECODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/chirpstack_codec.js");
const VECTORS: &str = include_str!("../../mqtt-bridge/src/lorawan/vectors.json");
/// Runs the decoder on every vector and prints what it gives.
const RUN: &str = "const fs = require('fs'); const decode = new Function(fs.readFileSync(process.argv[1], 'utf8') + '; return decodeUplink;')(); \
                   console.log(JSON.stringify(JSON.parse(process.argv[2]).map(one => decode({fPort: 20, bytes: one.bytes}))));";

#[test]
fn the_decoder_in_javascript_agrees_with_the_codec() {
    let output = Command::new("node").args(["-e", RUN, DECODER, VECTORS]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(found.len(), vectors.len());
    for (found, vector) in found.iter().zip(&vectors) {
        match vector.get("object") {
            Some(object) => assert_eq!(found, &json!({"data": object}), "{vector}"),
            None => assert!(found["errors"].is_array(), "{vector}: {found}"),
        }
    }
}
