//! OpenVEX 0.0.1 and 0.2: `statements`.

use chrono::{DateTime, Utc};

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::limits::STATEMENTS_MAX;
use crate::package::Package;
use crate::products::{self, Product, Products, sha256_of};
use crate::question::Question;
use crate::vex::{Statement, Statements, VexStatus, vulnerability_id};

pub(crate) fn read(bytes: &[u8], question: Question<'_>) -> Read<Vec<Statement>> {
    let mut document = OpenVex::default();
    let mut reader = Reader::new(bytes)?;
    reader.object(|reader, field| match field {
        "statements" => reader.list(|reader| document.statement(reader)),
        "timestamp" if reader.is_text() => {
            document.at = time(reader.text("timestamp")?.as_deref());
            Ok(())
        }
        _ => reader.skip(),
    })?;
    document.about(question)
}

#[derive(Default)]
struct OpenVex {
    /// Statements, and their vulnerabilities, products and components.
    count: usize,
    products: Products,
    statements: Vec<WrittenStatement>,
    /// The time of statements that have none.
    at: Option<DateTime<Utc>>,
}

/// A statement as it was written.
#[derive(Default)]
struct WrittenStatement {
    vulnerabilities: Vec<String>,
    /// Ids of products, each with the components that are meant. Without components the whole product is meant.
    products: Vec<(String, Vec<Option<String>>)>,
    status: Option<VexStatus>,
    justification: Option<String>,
    impact: Option<String>,
    at: Option<DateTime<Utc>>,
}

impl OpenVex {
    fn count(&mut self) -> Read<()> {
        self.count += 1;
        if self.count > STATEMENTS_MAX { Err(DocumentError::TooManyStatements) } else { Ok(()) }
    }

    fn statement(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.count()?;
        let mut written = WrittenStatement::default();
        reader.object(|reader, field| {
            match field {
                "vulnerability" => self.vulnerability(reader, &mut written)?,
                "products" => reader.list(|reader| self.product(reader, &mut written))?,
                "status" => {
                    let word = reader.text("statements.status")?.unwrap_or_default();
                    let status = VexStatus::from_word(&word);
                    let unknown = || DocumentError::field("statements.status", "no such status");
                    written.status = Some(status.ok_or_else(unknown)?);
                }
                "justification" => written.justification = reader.text("statements.justification")?,
                "impact_statement" if reader.is_text() => {
                    written.impact = Some(shortened(&reader.long_text("statements.impact_statement")?));
                }
                "timestamp" => written.at = time(reader.text("statements.timestamp")?.as_deref()),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let missing = |field| DocumentError::field(field, "is missing");
        if written.vulnerabilities.is_empty() {
            return Err(missing("statements.vulnerability"));
        }
        let status = written.status.ok_or_else(|| missing("statements.status"))?;
        if status == VexStatus::NotAffected && written.justification.is_none() && written.impact.is_none() {
            return Err(DocumentError::field("statements.justification", "not_affected needs it, or impact_statement"));
        }
        self.statements.push(written);
        Ok(())
    }

    /// A text in 0.0.1; an object with aliases later.
    fn vulnerability(&mut self, reader: &mut Reader<'_>, written: &mut WrittenStatement) -> Read<()> {
        const FIELD: &str = "statements.vulnerability";
        let mut names = vec![];
        if reader.is_text() {
            names.extend(reader.text(FIELD)?);
        } else {
            reader.object(|reader, field| {
                match field {
                    "name" => names.extend(reader.text(FIELD)?),
                    "aliases" => reader.list(|reader| {
                        self.count()?;
                        names.extend(reader.text(FIELD)?);
                        Ok(())
                    })?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
        }
        for name in names {
            let invalid = || DocumentError::field(FIELD, "not the name of a vulnerability, such as CVE-2022-3602");
            written.vulnerabilities.push(vulnerability_id(&name).ok_or_else(invalid)?);
        }
        Ok(())
    }

    /// A text in 0.0.1; an object with identifiers and components later.
    fn product(&mut self, reader: &mut Reader<'_>, written: &mut WrittenStatement) -> Read<()> {
        const FIELD: &str = "statements.products";
        self.count()?;
        let (mut product, mut components) = (Product::default(), vec![]);
        if reader.is_text() {
            product.ids.extend(reader.text(FIELD)?);
        } else {
            let mut own = None;
            reader.object(|reader, field| {
                match field {
                    "@id" => own = reader.text(FIELD)?,
                    "identifiers" => reader.object(|reader, field| match field {
                        "purl" => {
                            product.ids.extend(reader.text(FIELD)?);
                            Ok(())
                        }
                        _ => reader.skip(),
                    })?,
                    "hashes" => reader.object(|reader, field| {
                        let value =
                            if reader.is_text() { reader.text(FIELD)? } else { reader.skip().map(|()| None)? };
                        product.sha256 = product.sha256.or(value.and_then(|value| sha256_of(field, &value)));
                        Ok(())
                    })?,
                    "subcomponents" => reader.list(|reader| {
                        self.count()?;
                        components.push(component(reader)?);
                        Ok(())
                    })?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            product.ids.splice(0..0, own);
        }
        let Some(own) = product.ids.first().cloned() else {
            return Err(DocumentError::field(FIELD, "a product has no id"));
        };
        self.products.add(product)?;
        written.products.push((own, components));
        Ok(())
    }

    fn about(self, question: Question<'_>) -> Read<Vec<Statement>> {
        let chosen = products::of_firmware(self.products.all(), question)?;
        let mut statements = Statements::default();
        for mut written in self.statements {
            let Some(status) = written.status else { continue };
            written.at = written.at.or(self.at);
            // A statement without products is about the firmware to which the document belongs.
            let whole = written.products.is_empty() && question.product.is_none();
            let of_products = written.products.iter().filter(|(own, _)| chosen.contains(own));
            let mut packages: Vec<Option<String>> = of_products
                .flat_map(|(_, components)| if components.is_empty() { vec![None] } else { components.clone() })
                .collect();
            packages.extend(whole.then_some(None));
            for package in packages {
                for vulnerability in &written.vulnerabilities {
                    add(&mut statements, &written, status, vulnerability, package.clone())?;
                }
            }
        }
        Ok(statements.into_all())
    }
}

fn add(
    statements: &mut Statements,
    written: &WrittenStatement,
    status: VexStatus,
    vulnerability: &str,
    package: Option<String>,
) -> Read<()> {
    let justification = written.justification.clone().or_else(|| written.impact.clone());
    let vulnerability = vulnerability.to_owned();
    statements.add(written.at, Statement { vulnerability, status, justification, package })
}

/// The package of a component; none if it isn't named by a package URL.
fn component(reader: &mut Reader<'_>) -> Read<Option<String>> {
    const FIELD: &str = "statements.products.subcomponents";
    let mut ids = vec![];
    if reader.is_text() {
        ids.extend(reader.text(FIELD)?);
    } else {
        reader.object(|reader, field| {
            match field {
                "@id" => ids.extend(reader.text(FIELD)?),
                "identifiers" => reader.object(|reader, field| match field {
                    "purl" => {
                        ids.extend(reader.text(FIELD)?);
                        Ok(())
                    }
                    _ => reader.skip(),
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
    }
    Ok(ids.iter().find_map(|id| id.parse::<Package>().ok()).map(|package| package.name))
}

fn time(text: Option<&str>) -> Option<DateTime<Utc>> {
    text.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| at.to_utc())
}

/// The beginning of a free text.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 250;
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(SHOWN_CHARS)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use domain::values::Sha256Digest;

    use super::*;

    fn about(text: &str, product: Option<&str>) -> Read<Vec<(String, &'static str, Option<String>)>> {
        let sha256 = Sha256Digest::of(b"image");
        let statements = read(text.as_bytes(), Question { sha256: &sha256, product })?;
        Ok(statements.into_iter().map(|one| (one.vulnerability, one.status.word(), one.package)).collect())
    }

    #[test]
    fn the_statements_about_the_firmware_are_found() {
        let digest = Sha256Digest::of(b"image");
        let text = format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"a","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[
              {{"vulnerability":{{"name":"CVE-2026-1","aliases":["GHSA-aaaa"]}},"status":"affected",
                "products":[{{"@id":"pkg:generic/fw@1","subcomponents":[{{"@id":"pkg:generic/openssl@3.0.6"}}]}},{{"@id":"other"}}]}},
              {{"vulnerability":"CVE-2026-2","status":"not_affected","justification":"component_not_present",
                "products":["other",{{"@id":"third","hashes":{{"sha-256":"{digest}"}}}}]}}]}}"#
        );
        let openssl = Some("pkg:generic/openssl".to_owned());
        let named = about(&text, Some("pkg:generic/fw@1")).unwrap();
        assert_eq!(
            named,
            [("CVE-2026-1".into(), "affected", openssl.clone()), ("GHSA-AAAA".into(), "affected", openssl)]
        );
        assert_eq!(about(&text, None).unwrap(), [("CVE-2026-2".into(), "not_affected", None)], "by its digest");
        assert_eq!(about(&text, Some("fourth")), Err(DocumentError::UnknownProduct));
        let without = text.replace(&digest.to_string(), &Sha256Digest::of(b"").to_string());
        assert_eq!(about(&without, None), Err(DocumentError::WhichProduct { products: 3 }));
    }

    #[test]
    fn the_latest_statement_counts_and_the_worst_of_one_time() {
        let statement = |status: &str, at: &str| {
            format!(
                r#"{{"vulnerability":"CVE-1","status":"{status}","impact_statement":"x","timestamp":"{at}","products":["p"]}}"#
            )
        };
        let both = |one: String, other: String| {
            let text = format!(r#"{{"statements":[{one},{other}]}}"#);
            about(&text, None).unwrap()[0].1
        };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        assert_eq!(both(statement("fixed", late), statement("affected", early)), "fixed");
        assert_eq!(both(statement("under_investigation", early), statement("fixed", early)), "under_investigation");
        let undated = statement("affected", "").replace(r#""timestamp":"","#, "");
        let text = format!(r#"{{"statements":[{},{undated}],"timestamp":"{late}"}}"#, statement("fixed", early));
        assert_eq!(about(&text, None).unwrap()[0].1, "affected", "it has the time of the document");
    }

    #[test]
    fn a_statement_without_a_required_field_is_refused_with_its_name() {
        for (statement, field) in [
            (r#"{"status":"fixed"}"#, "statements.vulnerability"),
            (r#"{"vulnerability":"CVE-1"}"#, "statements.status"),
            (r#"{"vulnerability":"CVE-1","status":"fine"}"#, "statements.status"),
            (r#"{"vulnerability":"no name","status":"fixed"}"#, "statements.vulnerability"),
            (r#"{"vulnerability":"CVE-1","status":"not_affected"}"#, "statements.justification"),
            (r#"{"vulnerability":"CVE-1","status":"fixed","products":[{}]}"#, "statements.products"),
        ] {
            let error = about(&format!(r#"{{"statements":[{statement}]}}"#), None).unwrap_err();
            assert!(matches!(&error, DocumentError::Field { field: of, .. } if *of == field), "{statement}: {error}");
        }
    }
}
