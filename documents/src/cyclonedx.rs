//! CycloneDX 1.4 to 1.6 in JSON: `components`, also nested ones, and the component that the document is about.

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::sbom::{Component, Components};

pub(crate) fn read(bytes: &[u8]) -> Read<Vec<Component>> {
    let mut components = Components::default();
    let mut reader = Reader::new(bytes)?;
    reader.object(|reader, field| match field {
        "metadata" if reader.is_object() => reader.object(|reader, field| match field {
            "component" => component(reader, &mut components),
            _ => reader.skip(),
        }),
        "components" => list(reader, &mut components),
        _ => reader.skip(),
    })?;
    Ok(components.all())
}

fn list(reader: &mut Reader<'_>, components: &mut Components) -> Read<()> {
    reader.list(|reader| component(reader, components))
}

/// The deepest nesting of a document bounds the recursion.
fn component(reader: &mut Reader<'_>, components: &mut Components) -> Read<()> {
    components.count()?;
    let (mut name, mut version, mut url) = (None, None, None);
    reader.object(|reader, field| {
        match field {
            "name" => name = reader.text("components.name")?,
            "version" => version = reader.text("components.version")?,
            "purl" => url = reader.text("components.purl")?,
            "components" => list(reader, components)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| DocumentError::field("components.name", "is missing"))?;
    components.add(name, version, url.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_at_every_depth_and_once() {
        let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":1,
          "metadata":{"component":{"type":"firmware","name":"fw","version":"2.0.0"}},
          "components":[
            {"type":"library","name":"openssl","version":"3.0.6","purl":"pkg:generic/openssl@3.0.7","components":[
               {"type":"library","name":"inner","licenses":[{"license":{"id":"MIT"}}]}]},
            {"name":"openssl","version":"3.0.6","purl":"pkg:generic/openssl@3.0.7"},
            {"name":"odd","version":"1","purl":"no url"}]}"#;
        let found = read(text.as_bytes()).unwrap();
        let of = |package: Option<&str>, name: &str, version: Option<&str>| Component {
            package: package.map(str::to_owned),
            name: name.to_owned(),
            version: version.map(str::to_owned),
        };
        assert_eq!(
            found,
            [
                of(None, "fw", Some("2.0.0")),
                of(None, "inner", None),
                of(None, "odd", Some("1")),
                of(Some("pkg:generic/openssl"), "openssl", Some("3.0.7")),
            ]
        );
        for (wrong, field) in [
            (r#"{"components":[{"version":"1"}]}"#, "components.name"),
            (r#"{"components":[{"name":7}]}"#, "components.name"),
            (r#"{"components":[{"name":"a","purl":{}}]}"#, "components.purl"),
        ] {
            let error = read(wrong.as_bytes()).unwrap_err();
            assert!(matches!(error, DocumentError::Field { field: of, .. } if of == field), "{wrong}: {error}");
        }
        assert!(read(br#"{"components":{}}"#).is_err());
    }
}
