//! The tenant and the roles of a person, from the claims of the provider.

use axum::http::StatusCode;
use domain::TenantId;
use serde_json::Value;

use super::id_token::Identity;
use super::parts::SignIn;
use super::pending::Pending;
use crate::caller::Role;
use crate::http::Problem;

/// A claim that is one text or a list of texts.
fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

impl SignIn {
    /// The tenant and the roles of a person. A person with roles in several tenants must have asked for one.
    pub(super) fn roles_of(&self, person: &Identity, pending: &Pending) -> Result<(TenantId, Vec<Role>), Problem> {
        let groups = texts(person.claim(&self.config.groups_claim));
        let claimed = match &self.config.tenant_claim {
            Some(claim) => match texts(person.claim(claim))[..] {
                [tenant] => TenantId::new(tenant).ok(),
                _ => None,
            },
            None => None,
        };
        let mut roles = self.config.roles.roles(&groups, claimed.as_ref());
        let wanted = match &pending.tenant {
            Some(tenant) => TenantId::new(tenant.as_str()).ok(),
            None if roles.len() > 1 => {
                // Without roles a tenant counts only if it is the only one.
                roles.retain(|_, roles| !roles.is_empty());
                if roles.len() > 1 {
                    return Err(several(roles.keys()));
                }
                roles.keys().next().cloned()
            }
            None => roles.keys().next().cloned(),
        };
        let found = wanted.and_then(|tenant| roles.remove_entry(&tenant));
        found.map(|(tenant, roles)| (tenant, roles.into_iter().collect())).ok_or_else(no_role)
    }
}

fn several<'a>(tenants: impl Iterator<Item = &'a TenantId>) -> Problem {
    let tenants = tenants.map(TenantId::as_str).collect::<Vec<_>>().join(", ");
    let detail = format!("you have roles in several tenants: sign in with ?tenant= one of {tenants}");
    Problem::new(StatusCode::CONFLICT, "several_tenants", detail)
}

/// For who may sign in at the provider and has nothing to do here.
pub(super) fn no_role() -> Problem {
    Problem::forbidden_as("no_role", "none of your groups has a role here: ask who administers your tenant")
}
