//! Which groups of the provider give which roles, and in which tenant.

use std::collections::{BTreeMap, BTreeSet};

use domain::TenantId;

use crate::caller::Role;

/// Most entries.
const ENTRIES_MAX: usize = 1_000;

/// Groups and what they give.
#[derive(Debug, Clone, Default)]
pub struct RoleMap {
    entries: Vec<Entry>,
    /// The tenant of groups that name none.
    tenant: Option<TenantId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    group: String,
    tenant: Option<TenantId>,
    role: Role,
}

/// Why groups can't be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoleMap {
    #[error("{0:?} has not the form GROUP=ROLE or GROUP=TENANT/ROLE")]
    Form(String),
    #[error("{0:?} is no role: it must be viewer, operator, approver, admin or platform_admin")]
    Role(String),
    #[error("{0:?} is no tenant")]
    Tenant(String),
    #[error("group {0:?} has two roles in one tenant")]
    Twice(String),
    #[error("no group gives a role")]
    Empty,
    #[error("more than {ENTRIES_MAX} entries")]
    TooMany,
    #[error("group {0:?} names no tenant, and there is neither a tenant for all groups nor a claim with one")]
    NoTenant(String),
    #[error("a tenant for all groups and a claim with the tenant are given: give one of them")]
    TwoTenants,
    #[error("every group names its tenant, so a tenant for all groups, or a claim with one, would never count")]
    UnusedTenant,
}

impl RoleMap {
    /// Reads `GROUP=ROLE` and `GROUP=TENANT/ROLE`. A group may have `=` in its name, as in an LDAP one.
    pub fn new(entries: &[String], tenant: Option<TenantId>, has_claim: bool) -> Result<Self, InvalidRoleMap> {
        let entries = entries.iter().map(|text| entry(text)).collect::<Result<Vec<_>, _>>()?;
        match entries.len() {
            0 => return Err(InvalidRoleMap::Empty),
            1..=ENTRIES_MAX => {}
            _ => return Err(InvalidRoleMap::TooMany),
        }
        if tenant.is_some() && has_claim {
            return Err(InvalidRoleMap::TwoTenants);
        }
        let open = entries.iter().find(|entry| entry.tenant.is_none());
        match open {
            Some(entry) if tenant.is_none() && !has_claim => return Err(InvalidRoleMap::NoTenant(entry.group.clone())),
            None if tenant.is_some() || has_claim => return Err(InvalidRoleMap::UnusedTenant),
            Some(_) | None => {}
        }
        let mut seen = BTreeSet::new();
        for Entry { group, tenant: of_group, .. } in &entries {
            let tenant = of_group.as_ref().or(tenant.as_ref());
            if !seen.insert((group, tenant)) {
                return Err(InvalidRoleMap::Twice(group.clone()));
            }
        }
        Ok(Self { entries, tenant })
    }

    /// The roles that groups give in each tenant. `claimed` is the tenant of the person, where a claim names it.
    pub(super) fn roles(&self, groups: &[&str], claimed: Option<&TenantId>) -> BTreeMap<TenantId, BTreeSet<Role>> {
        let mut roles: BTreeMap<TenantId, BTreeSet<Role>> = BTreeMap::new();
        for tenant in [self.tenant.as_ref(), claimed].into_iter().flatten() {
            // The tenant may have granted them something.
            roles.entry(tenant.clone()).or_default();
        }
        for entry in self.entries.iter().filter(|entry| groups.contains(&entry.group.as_str())) {
            if let Some(tenant) = entry.tenant.as_ref().or(self.tenant.as_ref()).or(claimed) {
                roles.entry(tenant.clone()).or_default().insert(entry.role);
            }
        }
        roles
    }
}

fn entry(text: &str) -> Result<Entry, InvalidRoleMap> {
    let form = || InvalidRoleMap::Form(text.to_owned());
    let (group, given) = text.trim().rsplit_once('=').ok_or_else(form)?;
    if group.is_empty() {
        return Err(form());
    }
    let (tenant, word) = match given.split_once('/') {
        Some((tenant, word)) => (Some(tenant), word),
        None => (None, given),
    };
    let role = Role::in_tenant(word).or((word == Role::PlatformAdmin.word()).then_some(Role::PlatformAdmin));
    let role = role.ok_or_else(|| InvalidRoleMap::Role(word.to_owned()))?;
    let tenant = tenant.map(|tenant| TenantId::new(tenant).map_err(|_| InvalidRoleMap::Tenant(tenant.to_owned())));
    Ok(Entry { group: group.to_owned(), tenant: tenant.transpose()?, role })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[&str], tenant: Option<&str>, has_claim: bool) -> Result<RoleMap, InvalidRoleMap> {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        RoleMap::new(&entries, tenant.map(|tenant| TenantId::new(tenant).unwrap()), has_claim)
    }

    #[test]
    fn groups_give_roles_in_their_tenants() {
        let map = map(&["/ops=acme/operator", "CN=Admins,OU=x=acme/admin", "ops=globex/viewer"], None, false).unwrap();
        let given = |groups: &[&str]| {
            let roles = map.roles(groups, None);
            roles.iter().map(|(tenant, roles)| (tenant.to_string(), roles.len())).collect::<Vec<_>>()
        };
        assert_eq!(given(&["/ops", "CN=Admins,OU=x"]), [("acme".to_owned(), 2)]);
        assert_eq!(given(&["/ops", "ops"]), [("acme".to_owned(), 1), ("globex".to_owned(), 1)]);
        assert_eq!(given(&["Ops", "/ops/", ""]), []);
    }

    #[test]
    fn a_tenant_comes_from_the_settings_or_from_a_claim() {
        let (acme, globex) = (TenantId::new("acme").unwrap(), TenantId::new("globex").unwrap());
        let fixed = map(&["ops=operator"], Some("acme"), false).unwrap();
        assert_eq!(fixed.roles(&["ops"], None)[&acme].len(), 1);
        let claimed = map(&["ops=operator"], None, true).unwrap();
        assert_eq!(claimed.roles(&["ops"], Some(&globex))[&globex].len(), 1);
        assert!(claimed.roles(&["ops"], None).is_empty());
    }

    #[test]
    fn what_contradicts_itself_or_never_counts_is_refused() {
        use InvalidRoleMap as Invalid;
        let refused = |entries: &[&str], tenant, has_claim| map(entries, tenant, has_claim).unwrap_err();
        assert_eq!(refused(&[], Some("acme"), false), Invalid::Empty);
        assert_eq!(refused(&["ops"], None, false), Invalid::Form("ops".into()));
        assert_eq!(refused(&["=acme/viewer"], None, false), Invalid::Form("=acme/viewer".into()));
        assert_eq!(refused(&["ops=acme/root"], None, false), Invalid::Role("root".into()));
        assert_eq!(refused(&["ops=Acme/viewer"], None, false), Invalid::Tenant("Acme".into()));
        assert_eq!(refused(&["ops=viewer"], None, false), Invalid::NoTenant("ops".into()));
        assert_eq!(refused(&["ops=viewer"], Some("acme"), true), Invalid::TwoTenants);
        assert_eq!(refused(&["ops=acme/viewer"], Some("acme"), false), Invalid::UnusedTenant);
        assert_eq!(refused(&["ops=acme/viewer"], None, true), Invalid::UnusedTenant);
        assert_eq!(refused(&["ops=acme/viewer", "ops=acme/admin"], None, false), Invalid::Twice("ops".into()));
        assert_eq!(refused(&["ops=acme/viewer", "ops=admin"], Some("acme"), false), Invalid::Twice("ops".into()));
        assert!(map(&["ops=acme/viewer", "ops=platform_admin"], Some("globex"), false).is_ok());
    }
}
