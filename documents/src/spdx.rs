//! SPDX 2.3 in JSON: `packages`.

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::sbom::{Component, Components};

pub(crate) fn read(bytes: &[u8]) -> Read<Vec<Component>> {
    let mut components = Components::default();
    let mut reader = Reader::new(bytes)?;
    reader.object(|reader, field| match field {
        "packages" => reader.list(|reader| package(reader, &mut components)),
        _ => reader.skip(),
    })?;
    Ok(components.all())
}

fn package(reader: &mut Reader<'_>, components: &mut Components) -> Read<()> {
    components.count()?;
    let (mut name, mut version, mut urls) = (None, None, vec![]);
    reader.object(|reader, field| {
        match field {
            "name" => name = reader.text("packages.name")?,
            "versionInfo" => version = reader.text("packages.versionInfo")?,
            "externalRefs" => reader.list(|reader| {
                if let Some(url) = package_url(reader)? {
                    // A package with two URLs counts twice.
                    if !urls.is_empty() {
                        components.count()?;
                    }
                    urls.push(url);
                }
                Ok(())
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| DocumentError::field("packages.name", "is missing"))?;
    if urls.is_empty() {
        return components.add(name, version, None);
    }
    urls.iter().try_for_each(|url| components.add(name.clone(), version.clone(), Some(url)))
}

/// The locator of a reference of the type `purl`.
fn package_url(reader: &mut Reader<'_>) -> Read<Option<String>> {
    let (mut kind, mut locator) = (None, None);
    reader.object(|reader, field| {
        match field {
            "referenceType" => kind = reader.text("packages.externalRefs.referenceType")?,
            "referenceLocator" => locator = reader.text("packages.externalRefs.referenceLocator")?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let is_url = kind.is_some_and(|kind| kind == "purl" || kind.ends_with("/purl"));
    Ok(locator.filter(|_| is_url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_their_urls() {
        let text = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[
          {"SPDXID":"SPDXRef-1","name":"zlib","versionInfo":"1.2.11","externalRefs":[
             {"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:zlib:zlib"},
             {"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:generic/zlib@1.2.11"}]},
          {"SPDXID":"SPDXRef-2","name":"bare"}]}"#;
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].package.as_deref(), Some("pkg:generic/zlib"));
        assert_eq!((found[0].name.as_str(), &found[0].version), ("bare", &None));
    }
}
