//! CSAF 2.0: `product_tree` and the `product_status` of `vulnerabilities`. The category of the document doesn't matter.

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::limits::STATEMENTS_MAX;
use crate::products::{self, Product, Products, sha256_of};
use crate::question::Question;
use crate::vex::{Statement, Statements, VexStatus, vulnerability_id};

pub(crate) fn read(bytes: &[u8], question: Question<'_>) -> Read<Vec<Statement>> {
    let mut document = Csaf::default();
    let mut reader = Reader::new(bytes)?;
    reader.object(|reader, field| match field {
        "product_tree" => reader.object(|reader, field| match field {
            "branches" => document.branches(reader),
            "full_product_names" => reader.list(|reader| document.product(reader)),
            "relationships" => reader.list(|reader| {
                reader.object(|reader, field| match field {
                    "full_product_name" => document.product(reader),
                    _ => reader.skip(),
                })
            }),
            _ => reader.skip(),
        }),
        "vulnerabilities" => reader.list(|reader| document.vulnerability(reader)),
        _ => reader.skip(),
    })?;
    document.about(question)
}

#[derive(Default)]
struct Csaf {
    count: usize,
    products: Products,
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Default)]
struct Vulnerability {
    names: Vec<String>,
    /// Products by status.
    statuses: Vec<(VexStatus, String)>,
    /// Justifications by product. Many products may share one.
    flags: HashMap<String, Rc<str>>,
}

impl Csaf {
    fn count(&mut self) -> Read<()> {
        self.count += 1;
        if self.count > STATEMENTS_MAX { Err(DocumentError::TooManyStatements) } else { Ok(()) }
    }

    /// The deepest nesting of a document bounds the recursion.
    fn branches(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        reader.list(|reader| {
            reader.object(|reader, field| match field {
                "branches" => self.branches(reader),
                "product" => self.product(reader),
                _ => reader.skip(),
            })
        })
    }

    fn product(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        const FIELD: &str = "product_tree.product_id";
        let (mut own, mut product) = (None, Product::default());
        reader.object(|reader, field| {
            match field {
                "product_id" => own = reader.text(FIELD)?,
                "product_identification_helper" => reader.object(|reader, field| {
                    match field {
                        "purl" => product.ids.extend(reader.text("product_tree.purl")?),
                        "hashes" => reader.list(|reader| {
                            product.sha256 = product.sha256.or(file_hash(reader)?);
                            Ok(())
                        })?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if own.is_none() {
            return Err(DocumentError::field(FIELD, "is missing"));
        }
        product.ids.splice(0..0, own);
        self.products.add(product)
    }

    fn vulnerability(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.count()?;
        let mut found = Vulnerability::default();
        let mut names = vec![];
        reader.object(|reader, field| {
            match field {
                "cve" => names.extend(reader.text("vulnerabilities.cve")?),
                "ids" => reader.list(|reader| {
                    self.count()?;
                    reader.object(|reader, field| {
                        match field {
                            "text" => names.extend(reader.text("vulnerabilities.ids.text")?),
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })
                })?,
                "product_status" => reader.object(|reader, field| {
                    let Some(status) = status_of(field) else { return reader.skip() };
                    reader.list(|reader| {
                        self.count()?;
                        let product = reader.text("vulnerabilities.product_status")?;
                        found.statuses.extend(product.map(|product| (status, product)));
                        Ok(())
                    })
                })?,
                "flags" => reader.list(|reader| self.flag(reader, &mut found.flags))?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        // Other ids may be free texts. Those can't name a vulnerability.
        found.names = names.iter().filter_map(|name| vulnerability_id(name)).collect();
        if found.names.is_empty() && !found.statuses.is_empty() {
            return Err(DocumentError::field(
                "vulnerabilities.cve",
                "a vulnerability with a product_status has no name",
            ));
        }
        self.vulnerabilities.push(found);
        Ok(())
    }

    fn flag(&mut self, reader: &mut Reader<'_>, flags: &mut HashMap<String, Rc<str>>) -> Read<()> {
        let (mut label, mut products) = (None, vec![]);
        reader.object(|reader, field| {
            match field {
                "label" => label = reader.text("vulnerabilities.flags.label")?,
                "product_ids" => reader.list(|reader| {
                    self.count()?;
                    products.extend(reader.text("vulnerabilities.flags.product_ids")?);
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(label) = label {
            let label = Rc::<str>::from(label);
            flags.extend(products.into_iter().map(|product| (product, Rc::clone(&label))));
        }
        Ok(())
    }

    fn about(self, question: Question<'_>) -> Read<Vec<Statement>> {
        let chosen = products::of_firmware(self.products.all(), question)?;
        let mut statements = Statements::default();
        for found in self.vulnerabilities {
            for (status, product) in found.statuses.iter().filter(|(_, product)| chosen.contains(product)) {
                for vulnerability in &found.names {
                    let justification = found.flags.get(product).map(|label| label.to_string());
                    let vulnerability = vulnerability.clone();
                    statements.add(None, Statement { vulnerability, status: *status, justification, package: None })?;
                }
            }
        }
        Ok(statements.into_all())
    }
}

/// A SHA-256 of a file; none if it has other hashes.
fn file_hash(reader: &mut Reader<'_>) -> Read<Option<domain::values::Sha256Digest>> {
    let mut found = None;
    reader.object(|reader, field| match field {
        "file_hashes" => reader.list(|reader| {
            let (mut algorithm, mut value) = (None, None);
            reader.object(|reader, field| {
                match field {
                    "algorithm" => algorithm = reader.text("product_tree.algorithm")?,
                    "value" => value = reader.text("product_tree.value")?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            found = found.or(algorithm.zip(value).and_then(|(algorithm, value)| sha256_of(&algorithm, &value)));
            Ok(())
        }),
        _ => reader.skip(),
    })?;
    Ok(found)
}

fn status_of(field: &str) -> Option<VexStatus> {
    match field {
        "known_affected" | "first_affected" | "last_affected" => Some(VexStatus::Affected),
        "known_not_affected" => Some(VexStatus::NotAffected),
        "fixed" | "first_fixed" => Some(VexStatus::Fixed),
        "under_investigation" => Some(VexStatus::UnderInvestigation),
        // `recommended` says what to install, not what is affected.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::values::Sha256Digest;

    use super::*;

    #[test]
    fn the_status_of_the_firmware_is_found_by_product_or_digest() {
        let digest = Sha256Digest::of(b"image");
        let text = format!(
            r#"{{"document":{{"category":"csaf_vex","csaf_version":"2.0"}},
              "product_tree":{{"branches":[{{"category":"vendor","name":"v","branches":[
                 {{"category":"product_version","name":"1","product":{{"product_id":"FW-1","name":"fw 1"}}}},
                 {{"category":"product_version","name":"2","product":{{"product_id":"FW-2","name":"fw 2",
                   "product_identification_helper":{{"purl":"pkg:generic/fw@2","hashes":[{{"filename":"f","file_hashes":[
                     {{"algorithm":"sha256","value":"{digest}"}}]}}]}}}}}}]}}]}},
              "vulnerabilities":[{{"cve":"CVE-2026-1","product_status":{{"known_affected":["FW-1"],"known_not_affected":["FW-2"]}},
                "flags":[{{"label":"vulnerable_code_not_present","product_ids":["FW-2"]}}]}},
                {{"cve":"CVE-2026-2","product_status":{{"fixed":["FW-2"],"recommended":["FW-1"]}}}}]}}"#
        );
        let about = |product: Option<&str>| {
            let statements = read(text.as_bytes(), Question { sha256: &digest, product }).unwrap();
            let of = |one: Statement| (one.vulnerability, one.status.word(), one.justification);
            statements.into_iter().map(of).collect::<Vec<_>>()
        };
        let expected = [
            ("CVE-2026-1".to_owned(), "not_affected", Some("vulnerable_code_not_present".to_owned())),
            ("CVE-2026-2".to_owned(), "fixed", None),
        ];
        assert_eq!((about(None), about(Some("pkg:generic/fw@2"))), (expected.to_vec(), expected.to_vec()));
        assert_eq!(about(Some("FW-1")), [("CVE-2026-1".to_owned(), "affected", None)]);
    }
}
