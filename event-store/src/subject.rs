//! Subjects of the log: one literal subject per aggregate.
//!
//! `ev.{partition}.{tenant}.{aggregate}.{id}`, where the partition is a stable hash of tenant and id. Built and parsed here only. Ids are
//! literal tokens by construction (`domain::ids`); subjects from the stream are checked again, because other programs can write there.

use std::fmt::Write as _;

use domain::{AggregateKey, TenantId};

/// Number of partitions. It never changes, because subjects of stored records name the partition.
pub const PARTITIONS: u64 = 64;

/// The filter for all subjects.
pub const ALL: &str = "ev.>";

const PREFIX: &str = "ev";
const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits, over `tenant`, a zero byte and `id`, modulo [`PARTITIONS`].
pub fn partition(tenant: &str, id: &str) -> u64 {
    let bytes = tenant.bytes().chain([0]).chain(id.bytes());
    let hash = bytes.fold(FNV_OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    hash % PARTITIONS
}

/// The subject that holds all records of an aggregate and nothing else.
pub fn of(key: &AggregateKey) -> String {
    let tenant = key.tenant.as_str();
    let mut subject = String::with_capacity(PREFIX.len() + 6 + tenant.len() + key.kind.len() + key.id.len());
    let partition = partition(tenant, &key.id);
    write!(subject, "{PREFIX}.{partition}.{tenant}.{}.{}", key.kind, key.id).expect("writing to a String cannot fail");
    subject
}

/// The filter for the subjects of all aggregates of a type.
pub fn of_type(kind: &str) -> String {
    format!("{PREFIX}.*.*.{kind}.>")
}

/// The filter for the subjects of all aggregates of a tenant.
pub fn of_tenant(tenant: &TenantId) -> String {
    format!("{PREFIX}.*.{tenant}.>")
}

/// The aggregate a subject belongs to; `None` if it is not a subject of the log.
pub fn parse(subject: &str) -> Option<AggregateKey> {
    let mut tokens = subject.split('.');
    let (prefix, part, tenant, kind, id) =
        (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
    if tokens.next().is_some() || prefix != PREFIX || !is_token(kind) || !is_token(id) {
        return None;
    }
    let tenant = TenantId::new(tenant).ok()?;
    let canonical = part.parse() == Ok(partition(tenant.as_str(), id)) && !(part.len() > 1 && part.starts_with('0'));
    canonical.then(|| AggregateKey { tenant, kind: kind.to_owned(), id: id.to_owned() })
}

/// Whether a text can be one literal token of a subject.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'.' | b'*' | b'>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, kind: &str, id: &str) -> AggregateKey {
        AggregateKey { tenant: TenantId::new(tenant).unwrap(), kind: kind.into(), id: id.into() }
    }

    /// Never change these numbers: stored records use them.
    #[test]
    fn partitions_are_fixed_for_ever() {
        let golden = [("acme", "d-1", 9), ("acme", "d-2", 48), ("globex", "d-1", 28), ("acme", "AA:BB:CC:00_1", 29)];
        for (tenant, id, wanted) in golden {
            assert_eq!(partition(tenant, id), wanted, "{tenant} {id}");
        }
    }

    #[test]
    fn a_subject_leads_back_to_its_aggregate() {
        let device = key("acme", "device", "AA:BB:01");
        assert_eq!(parse(&of(&device)), Some(device));
    }

    #[test]
    fn subjects_of_others_are_refused() {
        let right = of(&key("acme", "device", "d-1"));
        assert!(parse(&right).is_some());
        let padded = right.replacen("ev.", "ev.0", 1);
        for wrong in
            ["ev.64.acme.device.d-1", "ev.1.acme.device", "ev.1.acme.device.d-1.x", "ev.1.Acme.device.d-1", &padded]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
