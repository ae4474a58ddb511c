//! Whether the caller who opened a stream may still have it.

use domain::campaign::{Campaign, CampaignStatus};
use domain::device::Device;
use domain::{CampaignId, DeviceId, Key, Rejection};

use super::stream_caller::StreamCaller;
use super::topic::{Scope, Topic};
use crate::access::{limited_to, reach};
use crate::caller::{Caller, DeviceLimits, Role};
use crate::http::Problem;
use crate::state::App;

/// What a stream depends on.
pub(super) struct Guard {
    pub(super) app: App,
    pub(super) opened_by: StreamCaller,
    /// The devices that it may concern; none: all.
    pub(super) limits: Option<DeviceLimits>,
    pub(super) topic: Topic,
}

impl Guard {
    /// The guard of a new stream; refuses what its caller may not see, and what doesn't exist.
    pub(super) async fn admit(
        app: &App,
        caller: &Caller,
        opened_by: StreamCaller,
        topic: Topic,
    ) -> Result<Self, Problem> {
        if topic.scope == Scope::Tenant {
            caller.unlimited("a stream without campaign_id and device_id")?;
        }
        must_exist(app, &topic).await?;
        let guard = Self { app: app.clone(), opened_by, limits: caller.limits.clone(), topic };
        guard.must_reach(caller).await?;
        Ok(guard)
    }

    /// Fails if the credential has ended, the tenant is shut, or the caller's rights are others than at the beginning. With `reach` it asks
    /// the read models whether a caller with limits still reaches what the stream is about.
    pub(super) async fn check(&self, reach: bool) -> Result<(), Problem> {
        let StreamCaller { caller, credential } = &self.opened_by;
        credential.must_stand(&self.app).await?;
        self.app.tenants.must_be_open(&caller.tenant).await?;
        let caller = limited_to(self.app.with_grants(caller.clone())?, Role::Viewer)?;
        let sees_less = self.topic.with_restricted && !caller.has(Role::Auditor);
        if sees_less || caller.limits != self.limits {
            return Err(Problem::forbidden("your rights have changed"));
        }
        if reach { self.must_reach(&caller).await } else { Ok(()) }
    }

    /// Refuses what is out of reach of a caller whose role is limited to some devices, by the read models.
    async fn must_reach(&self, caller: &Caller) -> Result<(), Problem> {
        let Some(limits) = &self.limits else { return Ok(()) };
        if let Scope::Device { id, .. } = &self.topic.scope {
            reach::must_reach(&self.app, caller, limits, id).await?;
        }
        match campaign(&self.topic.scope) {
            Some(id) => reach::must_cover(&self.app, caller, limits, campaign_id(id)?).await,
            None => Ok(()),
        }
    }
}

fn campaign(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Tenant => None,
        Scope::Campaign(id) => Some(id),
        Scope::Device { campaign, .. } => campaign.as_deref(),
    }
}

fn campaign_id(text: &str) -> Result<CampaignId, Problem> {
    text.parse().map(CampaignId).map_err(|_| Rejection::CampaignUnknown.into())
}

/// Asks the log, so that this needs no read model.
async fn must_exist(app: &App, topic: &Topic) -> Result<(), Problem> {
    if let Scope::Device { id, .. } = &topic.scope {
        let device = DeviceId::new(&**id).map_err(|_| reach::unknown())?;
        let loaded = app.store.load_fresh(&Key::<Device>::new(&topic.tenant, &device)).await?;
        if loaded.version == 0 {
            return Err(reach::unknown());
        }
    }
    if let Some(id) = campaign(&topic.scope) {
        let loaded = app.store.load_fresh(&Key::<Campaign>::new(&topic.tenant, &campaign_id(id)?)).await?;
        if loaded.version == 0 || loaded.aggregate.status == CampaignStatus::Deleted {
            return Err(Rejection::CampaignUnknown.into());
        }
    }
    Ok(())
}
