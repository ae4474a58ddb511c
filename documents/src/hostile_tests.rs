//! Hostile and generated documents: no reader panics, and memory and time stay bounded. The generator has a fixed seed.

use std::time::{Duration, Instant};

use domain::firmware::DocumentFormat;
use domain::values::Sha256Digest;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::limits::{COMPONENTS_MAX, DOCUMENT_MAX_BYTES, PRODUCTS_MAX, STATEMENTS_MAX};
use crate::{Content, Document, DocumentError, Question, read};

/// Cases of each test; in a long test run 20 times as many.
const CASES: u32 = 2_000;
/// How long one document may take here; it takes a fraction of it.
const TIME_MAX: Duration = Duration::from_secs(20);

fn config() -> ProptestConfig {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let cases = if is_long { 20 * CASES } else { CASES };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

fn read_of(bytes: &[u8]) -> Result<Document, DocumentError> {
    let begun = Instant::now();
    let sha256 = Sha256Digest::of(b"image");
    let outcome = read(bytes, Question { sha256: &sha256, product: None });
    assert!(begun.elapsed() < TIME_MAX, "{:?} for {} bytes", begun.elapsed(), bytes.len());
    outcome
}

fn cyclonedx(components: usize) -> String {
    let each = |n: usize| {
        format!(
            r#"{{"type":"library","bom-ref":"r{n}","name":"c{n}","version":"1.{n}","purl":"pkg:npm/%40s/c{n}@1.{n}?x=y","licenses":[{{"license":{{"id":"MIT"}}}}],"hashes":[{{"alg":"SHA-256","content":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}]}}"#
        )
    };
    let all: Vec<String> = (0..components).map(each).collect();
    format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{}]}}"#, all.join(","))
}

#[test]
fn an_sbom_of_a_hundred_thousand_components_is_read_and_one_more_is_refused() {
    let Ok(Document { format, content: Content::Sbom(components) }) = read_of(cyclonedx(COMPONENTS_MAX).as_bytes())
    else {
        panic!("it is accepted")
    };
    assert_eq!((format, components.len()), (DocumentFormat::CycloneDx15, COMPONENTS_MAX));
    assert_eq!(read_of(cyclonedx(COMPONENTS_MAX + 1).as_bytes()), Err(DocumentError::TooManyComponents));
}

#[test]
fn small_values_without_end_are_refused_before_they_fill_the_memory() {
    let begin = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":["#;
    let items = "{\"name\":\"a\"},".repeat((DOCUMENT_MAX_BYTES - begin.len()) / 13);
    assert_eq!(read_of(format!("{begin}{items}{{}}]}}").as_bytes()), Err(DocumentError::TooManyComponents));
    let begin =
        r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"status":"fixed","vulnerability":{"aliases":["#;
    let items = "\"a\",".repeat(STATEMENTS_MAX + 1);
    assert_eq!(read_of(format!("{begin}{items}\"a\"]}}}}]}}").as_bytes()), Err(DocumentError::TooManyStatements));
}

fn joined(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

#[test]
fn each_pair_of_a_vulnerability_and_a_component_counts_as_a_statement() {
    let (aliases, components) =
        (joined(1_000, |n| format!("\"CVE-{n}\"")), joined(1_000, |n| format!(r#"{{"@id":"pkg:npm/c{n}@1"}}"#)));
    let openvex = format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{{"status":"fixed","vulnerability":{{"name":"CVE-X","aliases":[{aliases}]}},"products":[{{"@id":"p","subcomponents":[{components}]}}]}}]}}"#
    );
    assert_eq!(read_of(openvex.as_bytes()), Err(DocumentError::TooManyStatements));
    let (names, products) =
        (joined(1_000, |n| format!(r#"{{"text":"CVE-{n}"}}"#)), joined(1_000, |_| "\"p\"".to_owned()));
    let csaf = format!(
        r#"{{"document":{{"csaf_version":"2.0"}},"product_tree":{{"full_product_names":[{{"product_id":"p","name":"n"}}]}},"vulnerabilities":[{{"ids":[{names}],"product_status":{{"fixed":[{products}]}}}}]}}"#
    );
    assert_eq!(read_of(csaf.as_bytes()), Err(DocumentError::TooManyStatements));
}

#[test]
fn a_text_that_many_entries_share_counts_for_each() {
    let long = "a".repeat(1_000);
    let urls = joined(90_000, |n| format!(r#"{{"referenceType":"purl","referenceLocator":"pkg:npm/c{n}@1"}}"#));
    let spdx = format!(r#"{{"spdxVersion":"SPDX-2.3","packages":[{{"name":"{long}","externalRefs":[{urls}]}}]}}"#);
    assert_eq!(read_of(spdx.as_bytes()), Err(DocumentError::TooMuchText));
    let aliases = joined(90_000, |n| format!("\"CVE-{n}\""));
    let openvex = format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{{"status":"not_affected","justification":"{long}","vulnerability":{{"name":"CVE-X","aliases":[{aliases}]}},"products":["p"]}}]}}"#
    );
    assert_eq!(read_of(openvex.as_bytes()), Err(DocumentError::TooMuchText));
}

#[test]
fn statements_about_many_products_are_read_in_time() {
    let digest = Sha256Digest::of(b"image");
    let products = joined(PRODUCTS_MAX, |n| {
        format!(
            r#"{{"product_id":"p{n}","product_identification_helper":{{"hashes":[{{"file_hashes":[{{"algorithm":"sha256","value":"{digest}"}}]}}]}}}}"#
        )
    });
    let others = joined(80_000, |n| format!("\"q{n}\""));
    let csaf = format!(
        r#"{{"document":{{"csaf_version":"2.0"}},"product_tree":{{"full_product_names":[{products}]}},"vulnerabilities":[{{"cve":"CVE-1","product_status":{{"fixed":["p9",{others}]}}}}]}}"#
    );
    let Ok(Document { content: Content::Vex(statements), .. }) = read_of(csaf.as_bytes()) else {
        panic!("it is accepted")
    };
    assert_eq!(statements.len(), 1);
}

#[test]
fn known_hostile_documents_get_clear_errors() {
    let deep = |open: &str| format!("{{\"bomFormat\":\"CycloneDX\",\"x\":{}", open.repeat(1_000_000));
    for (document, expected) in [
        (deep("["), "nested deeper"),
        (deep("{\"a\":"), "nested deeper"),
        ("\u{1f}\u{8b}".into(), "not JSON"),
        ("PK\u{3}\u{4}".into(), "compressed"),
        ("{\"bomFormat\":\"CycloneDX\",\"bomFormat\":\"CycloneDX\"}".into(), "given twice"),
        (format!("{{\"version\":{}}}", "9".repeat(100_000)), "a number has more"),
        (format!("{{\"a\":1e{}}}", "9".repeat(100)), "a number has more"),
        ("{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.3\"}".into(), "\"1.3\" is not read"),
        ("{\"spdxVersion\":\"SPDX-2.2\"}".into(), "is not read"),
        ("{\"@context\":\"https://spdx.org/rdf/3.0.1/spdx-context.jsonld\"}".into(), "is not read"),
        ("{\"document\":{\"csaf_version\":\"2.1\"}}".into(), "is not read"),
        ("{}".into(), "neither CycloneDX"),
        ("[]".into(), "neither CycloneDX"),
        ("7".into(), "neither CycloneDX"),
        ("\"bomFormat\"".into(), "neither CycloneDX"),
        ("<bom/>".into(), "not JSON"),
        (String::new(), "not JSON"),
        ("{\"payloadType\":\"application/vnd.in-toto+json\"}".into(), "payload"),
        ("{\"bomFormat\":{},\"spdxVersion\":[]}".into(), "neither CycloneDX"),
        (
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{\"name\":\"a\\u0000\"}]}".into(),
            "control characters",
        ),
        (
            format!(
                "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{{\"name\":\"{}\"}}]}}",
                "a".repeat(2_000)
            ),
            "longer than",
        ),
    ] {
        let error = read_of(document.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", document.chars().take(80).collect::<String>());
        assert!(error.len() < 300, "{error}");
    }
}

const SAMPLES: [&str; 5] = [
    r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","version":"1","purl":"pkg:npm/a@1","components":[{"name":"b"}]}]}"#,
    r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"a","versionInfo":"1","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}]}"#,
    r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"p","subcomponents":[{"@id":"pkg:npm/a@1"}]}],"status":"affected"}]}"#,
    r#"{"document":{"csaf_version":"2.0"},"product_tree":{"full_product_names":[{"product_id":"p","name":"n"}]},"vulnerabilities":[{"cve":"CVE-1","product_status":{"fixed":["p"]}}]}"#,
    r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}"#,
];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_documents_are_refused_or_read(which in 0..SAMPLES.len(), damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6)) {
        let mut bytes = SAMPLES[which].as_bytes().to_vec();
        for (at, byte, how) in damages {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match how {
                _ if bytes.is_empty() => bytes.push(byte),
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\\09eE-"[usize::from(byte) % 13]),
                _ => bytes.truncate(at),
            }
        }
        let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        let outcome = read_of(&bytes);
        prop_assert!(outcome.is_err() || is_json, "what is read is JSON");
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_of(&bytes);
    }

    #[test]
    fn names_come_back_as_they_were_written(name in "[^\\p{C}]{1,40}", version in "[^\\p{C}]{1,20}") {
        prop_assume!(!name.trim().is_empty() && !version.trim().is_empty());
        let component = serde_json::json!({"name": name, "version": version});
        let text = serde_json::json!({"bomFormat": "CycloneDX", "specVersion": "1.4", "components": [component]}).to_string();
        let Ok(Document { content: Content::Sbom(components), .. }) = read_of(text.as_bytes()) else { panic!("{text}") };
        prop_assert_eq!(&components[0].name, name.trim());
        prop_assert_eq!(components[0].version.as_deref(), Some(version.trim()));
    }
}
