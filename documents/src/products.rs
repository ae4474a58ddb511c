//! Finds which products of a VEX are the firmware.

use std::collections::{HashMap, HashSet};

use domain::values::Sha256Digest;

use crate::error::DocumentError;
use crate::json::Read;
use crate::limits::PRODUCTS_MAX;
use crate::package::Package;
use crate::question::Question;

/// A product as a document names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Product {
    /// The first is the product's own id; the others are package URLs.
    pub(crate) ids: Vec<String>,
    pub(crate) sha256: Option<Sha256Digest>,
}

impl Product {
    fn is_called(&self, name: &str) -> bool {
        let package: Option<Package> = name.parse().ok();
        let is_package = |id: &String| package.is_some() && id.parse().ok() == package;
        self.ids.iter().any(|id| id == name || is_package(id))
    }
}

/// The own ids of the products that are the firmware. Empty if the document names no product.
pub(crate) fn of_firmware(products: &[Product], question: Question<'_>) -> Read<HashSet<String>> {
    let own = |product: &Product| product.ids.first().cloned().unwrap_or_default();
    let chosen = |which: &dyn Fn(&Product) -> bool| -> HashSet<String> {
        products.iter().filter(|product| which(product)).map(own).collect()
    };
    if let Some(name) = question.product {
        let named = chosen(&|product| product.is_called(name));
        return if named.is_empty() { Err(DocumentError::UnknownProduct) } else { Ok(named) };
    }
    let by_digest = chosen(&|product| product.sha256.as_ref() == Some(question.sha256));
    match products.len() {
        _ if !by_digest.is_empty() => Ok(by_digest),
        0 | 1 => Ok(chosen(&|_| true)),
        products => Err(DocumentError::WhichProduct { products }),
    }
}

/// Products so far, each once by its own id.
#[derive(Default)]
pub(crate) struct Products {
    all: Vec<Product>,
    places: HashMap<String, usize>,
}

impl Products {
    pub(crate) fn add(&mut self, product: Product) -> Read<()> {
        let Some(own) = product.ids.first() else { return Ok(()) };
        if let Some(place) = self.places.get(own) {
            let known = &mut self.all[*place];
            known.sha256 = known.sha256.or(product.sha256);
            return Ok(());
        }
        if self.all.len() >= PRODUCTS_MAX {
            return Err(DocumentError::TooManyProducts);
        }
        self.places.insert(own.clone(), self.all.len());
        self.all.push(product);
        Ok(())
    }

    pub(crate) fn all(&self) -> &[Product] {
        &self.all
    }
}

/// A SHA-256 under one of the names that the formats have for it.
pub(crate) fn sha256_of(algorithm: &str, value: &str) -> Option<Sha256Digest> {
    let is_sha256 = ["sha-256", "sha256"].contains(&algorithm.to_ascii_lowercase().as_str());
    Sha256Digest::from_hex(&value.to_ascii_lowercase()).filter(|_| is_sha256)
}
