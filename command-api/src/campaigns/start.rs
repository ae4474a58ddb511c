//! `POST /campaigns/{id}/start` and `POST /ota/campaigns/{id}/execute`: the next step towards the start.
//!
//! That is the request for an approval, the schedule, or the start itself. Planning reads the read models, so without PostgreSQL nothing
//! starts. The firmware is pinned first, so that it can't be deleted afterwards, also while the campaign is scheduled. It is pinned once more
//! afterwards, because another request that failed may have removed the pin.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use domain::campaign::threads::CAMPAIGN;
use domain::campaign::{Campaign, CampaignCommand, CampaignStatus, PlanSummary};
use domain::firmware::{Firmware, FirmwareCommand};
use domain::ids::name_based_uuid;
use domain::plan::{ExpectedPlan, OnDrift, PlanCounts};
use domain::values::Sha256Digest;
use domain::{CampaignId, FirmwareId, Key, Rejection};
use event_store::{Loaded, Times};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::started_at;
use super::targets::groups_exist;
use super::warnings::warnings;
use crate::auth::Caller;
use crate::firmware::release_stale;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// How long the reply waits for the plan.
const PLAN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause between two reads of the campaign.
const PLAN_POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the pilot went well"}))]
pub(crate) struct StartRequest {
    /// `plan_hash` of a preview: the plan that the campaign must begin with. It is compared when the campaign is planned, so a start that
    /// waits for an approval or its time is compared later. What a preview has shown is kept for 7 days; without it a drift has no numbers.
    #[schema(min_length = 64, max_length = 64)]
    pub(super) plan_hash: Option<String>,
    /// What to do if the plan has another hash than `plan_hash`: `refuse` (the campaign doesn't begin, and waits for an operator) or `proceed`
    /// (it begins, and its `plan` has the `drift`).
    #[schema(value_type = Option<String>, default = "refuse")]
    pub(super) on_drift: Option<OnDrift>,
    /// Start without waiting for the `scheduled_start`. Needs a reason.
    #[serde(default)]
    pub(super) now: bool,
    pub(super) reason: Option<String>,
}

impl StartRequest {
    /// The plan that its sender has seen; none if it names none.
    async fn expected(&self, app: &App, caller: &Caller) -> Result<Option<Box<ExpectedPlan>>, Problem> {
        let Some(plan_hash) = &self.plan_hash else {
            return match self.on_drift {
                Some(_) => Err(Problem::invalid("on_drift", "needs plan_hash")),
                None => Ok(None),
            };
        };
        let hash = Sha256Digest::from_hex(plan_hash);
        let hash = hash.ok_or_else(|| Problem::invalid("plan_hash", "is not 64 hex digits, as in a preview"))?;
        let plan_hash = hash.to_string();
        let mut tx = app.db.read(&caller.tenant).await?;
        let previewed = projections::previews::find(&mut tx, &plan_hash).await?;
        let on_drift = self.on_drift.unwrap_or(OnDrift::Refuse);
        Ok(Some(Box::new(ExpectedPlan { plan_hash, on_drift, previewed })))
    }
}

/// How a campaign began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    campaign_id: String,
    status: String,
    /// Devices that take part, once the plan is complete.
    workflows_submitted: u32,
    /// Excluded devices, by reason, once the plan is complete.
    #[schema(example = json!({"already_on_version": 12}))]
    excluded: BTreeMap<String, u32>,
    plan_complete: bool,
    /// Once the plan is complete.
    plan_hash: Option<String>,
    /// How the plan differs from the one that the start named, if it does.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Value>,
    started_at: Option<DateTime<Utc>>,
    /// When it starts by itself, until it has started.
    scheduled_start: Option<DateTime<Utc>>,
    /// When waiting updates expire; the campaign ends when updates under way have ended.
    ends_at: Option<DateTime<Utc>>,
    /// Present if no device takes part: the campaign has then ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Start a campaign
///
/// Takes the next step towards the start. A campaign with `requires_approval` is submitted: it waits for an approver
/// (`awaiting_approval`), and a later `start` starts the approved campaign. A campaign with a `scheduled_start` in the future becomes
/// `scheduled` and starts by itself; 409 `scheduled_start_passed` if the time has passed. With `now: true` and a reason it starts at once;
/// 409 `approved_for_later` if its approval is for a later start.
///
/// A start waits up to 5 s for the plan. A campaign without matching devices gets a warning and ends at once. 409 `campaign_over` if the
/// draft's own end has passed, `target_group_gone` if a group that it targets was deleted; 503 without PostgreSQL.
///
/// With the `plan_hash` of a preview, 409 `plan_drifted` if the plan has become another one: `facts.drift` says which devices have changed, by
/// reason. The campaign is then a draft, or approved. A campaign that waits for an approval or its time keeps the hash as `expected_plan`, until
/// it is planned, another start names another plan, or it is edited; then it is a draft again. A refusal that comes after the reply is shown
/// as `refused_plan` of the campaign, and as `campaign.plan_refused` in its history.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/start", tag = "campaigns", request_body = StartRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Started>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<StartRequest>>,
) -> Result<Reply<Started>, Problem> {
    start(&app, &caller, &envelope, path.campaign_id, wanted).await
}

/// Start a campaign (old spelling)
#[utoipa::path(
    post, path = "/ota/campaigns/{campaign_id}/execute", tag = "campaigns", request_body = StartRequest,
    params(CampaignPath, CommandHeaders), responses((status = 200, body = WithPosition<Started>))
)]
pub(crate) async fn execute_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<StartRequest>>,
) -> Result<Reply<Started>, Problem> {
    start(&app, &caller, &envelope, path.campaign_id, wanted).await
}

/// Starts a campaign, and waits for its plan.
pub(super) async fn start(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: CampaignId,
    wanted: StartRequest,
) -> Result<Reply<Started>, Problem> {
    let reason = wanted.reason.as_deref().or(envelope.reason());
    if wanted.now && reason.unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("reason", "is needed with now"));
    }
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    if app.repeated(caller, envelope, &key).await?.is_some() {
        return started(app, caller, &key, id).await;
    }
    let loaded = app.store.load_fresh(&key).await?;
    let expected = wanted.expected(app, caller).await?;
    obeys_rules(app, caller, &loaded.aggregate).await?;
    let (command, firmware) = start_command(app, caller, id, &loaded, wanted.now, expected).await?;
    let step = app.command(caller, &envelope.as_dry_run(), &key, command.clone(), wanted.reason.clone()).await?;
    let status = step.aggregate.status;
    // Only a start reads the read models.
    if !matches!(status, CampaignStatus::AwaitingApproval | CampaignStatus::Scheduled) {
        app.db.ping().await?;
    }
    let pins = !step.events.is_empty() && status.is_live() && !envelope.dry_run;
    let envelope = &envelope.going_on_with(correlation_of(&loaded));
    if pins {
        take_pin(app, caller, envelope, id, firmware).await?;
    }
    let outcome = app.command(caller, envelope, &key, command, wanted.reason).await;
    if pins {
        settle_pin(app, caller, envelope, id, firmware).await?;
    }
    let done = outcome?;
    if done.dry_run {
        return Ok(done.reply(Started::of(id, &done.aggregate, &done.times)));
    }
    let reply = started(app, caller, &key, id).await;
    if pins && reply.is_err() {
        // The planner removes the pin when it refuses a plan, maybe before this request settled it.
        settle_pin(app, caller, envelope, id, firmware).await?;
    }
    reply
}

/// A draft may be older than the rules of its tenant, and more campaigns may be under way than the tenant may have.
async fn obeys_rules(app: &App, caller: &Caller, campaign: &Campaign) -> Result<(), Problem> {
    let rules = app.tenants.rules(&caller.tenant).await?;
    if rules.require_approval && campaign.spec.as_ref().is_some_and(|spec| !spec.requires_approval) {
        let detail = "the rules of the tenant ask for an approval: replace the draft with requires_approval: true";
        return Err(Problem::new(StatusCode::CONFLICT, "approval_required", detail));
    }
    if campaign.status.is_live() { Ok(()) } else { app.has_room_for_a_campaign(&caller.tenant).await }
}

/// The correlation id that a command without one gets: the campaign's.
pub(super) fn correlation_of(campaign: &Loaded<Campaign>) -> Option<Uuid> {
    campaign.threads.last(CAMPAIGN).map(|standing| standing.correlation_id)
}

async fn started(app: &App, caller: &Caller, key: &Key<Campaign>, id: CampaignId) -> Result<Reply<Started>, Problem> {
    let planned = planned(app, key).await?;
    app.own_writes.remember(caller, planned.last_sequence);
    // The next start and an edit remove it.
    if let Some(refused) = &planned.aggregate.refused_plan {
        return Err(drifted(&planned.aggregate, refused));
    }
    let body = Started::of(id, &planned.aggregate, &planned.times);
    Ok(Reply::ok(body, app.token(planned.last_sequence).await?).version(planned.version))
}

/// The start was refused, because its plan is not the expected one.
fn drifted(campaign: &Campaign, refused: &PlanSummary) -> Problem {
    let counts =
        PlanCounts { devices: refused.devices, excluded: refused.excluded.clone(), waves: refused.waves.clone() };
    let what = refused.drift.as_ref().map_or_else(String::new, |drift| drift.summary(&counts));
    let status = campaign.status.word();
    let detail = format!(
        "the plan is not the expected one ({what}): nothing has begun, and the campaign is {status}. Preview and start it again, or start \
         it with on_drift: proceed"
    );
    let facts = json!({ "status": status, "plan": refused, "drift": refused.drift });
    Problem::new(StatusCode::CONFLICT, "plan_drifted", detail).with_facts(facts)
}

/// The start command. For a started campaign it is the same as before, so that the request can be repeated.
async fn start_command(
    app: &App,
    caller: &Caller,
    id: CampaignId,
    loaded: &Loaded<Campaign>,
    now: bool,
    expected: Option<Box<ExpectedPlan>>,
) -> Result<(CampaignCommand, FirmwareId), Problem> {
    let campaign = &loaded.aggregate;
    let spec = campaign.spec.as_ref().ok_or(Rejection::CampaignUnknown)?;
    if campaign.status == CampaignStatus::Deleted {
        return Err(Rejection::CampaignUnknown.into());
    }
    let (plan, firmware) = match (campaign.plan, &campaign.firmware) {
        (Some(plan), Some(firmware)) => (plan, firmware.clone()),
        _ => {
            let version = loaded.version.to_string();
            let plan = name_based_uuid(&["plan", caller.tenant.as_str(), &id.to_string(), &version]);
            let firmware = usable_firmware(app, caller, spec.firmware_id).await?;
            groups_exist(app, caller, spec).await?;
            (plan, firmware)
        }
    };
    let firmware = Box::new(firmware);
    let command = match now {
        true => CampaignCommand::StartNow { plan, firmware, expected },
        false => CampaignCommand::Start { plan, firmware, expected },
    };
    Ok((command, spec.firmware_id))
}

/// Pins a firmware for a campaign, and first removes an old pin that an earlier request may have left.
pub(super) async fn take_pin(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: CampaignId,
    firmware: FirmwareId,
) -> Result<(), Problem> {
    release_stale(app, caller, envelope, firmware, clock::now()).await?;
    pin(app, caller, envelope, firmware, FirmwareCommand::Pin { campaign: id }).await
}

/// Pins or unpins a firmware, as its campaign needs it after a command. Another request may have changed the campaign meanwhile, and either
/// may have removed the pin that the other one needs.
pub(super) async fn settle_pin(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: CampaignId,
    firmware: FirmwareId,
) -> Result<(), Problem> {
    let campaign = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &id)).await?;
    let uses = campaign.aggregate.spec.as_ref().is_some_and(|spec| spec.firmware_id == firmware);
    let command = match uses && campaign.aggregate.status.is_live() {
        true => FirmwareCommand::Pin { campaign: id },
        false => FirmwareCommand::Unpin { campaign: id },
    };
    pin(app, caller, envelope, firmware, command).await
}

pub(super) async fn pin(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    firmware: FirmwareId,
    command: FirmwareCommand,
) -> Result<(), Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &firmware);
    tracing::debug!(firmware.id = %firmware, ?command, "pinning or unpinning a firmware");
    app.store.execute(&key, envelope.bare_request(caller, command)).await?;
    Ok(())
}

/// The campaign once it is planned, or its current state when the wait is over.
async fn planned(app: &App, key: &Key<Campaign>) -> Result<std::sync::Arc<Loaded<Campaign>>, Problem> {
    let deadline = Instant::now() + PLAN_WAIT_MAX;
    loop {
        let loaded = app.store.load_fresh(key).await?;
        if loaded.aggregate.status != CampaignStatus::Planning || Instant::now() >= deadline {
            return Ok(loaded);
        }
        sleep(PLAN_POLL).await;
    }
}

impl Started {
    pub(super) fn of(id: CampaignId, campaign: &Campaign, times: &Times) -> Self {
        let drift = campaign.summary.as_ref().and_then(|summary| summary.drift.as_ref());
        let has_begun = campaign.plan.is_some();
        let excluded = campaign.summary.iter().flat_map(|summary| &summary.excluded);
        Self {
            campaign_id: id.to_string(),
            status: campaign.status.word().to_owned(),
            workflows_submitted: campaign.summary.as_ref().map_or(0, |summary| summary.devices),
            excluded: excluded.map(|(reason, count)| (reason.word().to_owned(), *count)).collect(),
            plan_complete: campaign.summary.is_some(),
            plan_hash: campaign.summary.as_ref().map(|summary| summary.plan_hash.clone()),
            drift: drift.and_then(|drift| serde_json::to_value(drift).ok()),
            started_at: started_at(campaign, times),
            scheduled_start: campaign.spec.as_ref().and_then(|spec| spec.scheduled_start).filter(|_| !has_begun),
            ends_at: campaign.ends_at,
            warnings: campaign
                .spec
                .as_ref()
                .map_or_else(Vec::new, |spec| warnings(spec, campaign.summary.as_ref(), campaign.firmware.as_ref())),
        }
    }
}
