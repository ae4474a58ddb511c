//! `GET /devices/{id}/why-not`: the first rule that keeps a firmware from a device now, and what would change it.
//!
//! The rules are the domain's own: the device is asked what it would say to a request for this firmware, and its update or its campaign what
//! they wait for. Nothing is written.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::campaign::CampaignStatus;
use domain::device::{
    Device, DeviceCommand, DeviceEvent, Exclusion, FirmwareSnapshot, NetworkFailure, Overrides, Phase, SyncState,
    UpdateKind, UpdateRequest, WaitReason,
};
use domain::firmware::Firmware;
use domain::values::{Priority, Transport};
use domain::{CampaignId, Decider as _, FirmwareId, Key, Rejection, UpdateId};
use projections::campaigns::{CampaignFilter, CampaignRow};
use projections::rollout::{MemberFilter, MemberView};
use projections::updates::UpdateFilter;
use projections::{FLEET, ReadTx};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::campaigns::waits_of_campaign;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::{FilterSet, Filters, MinPosition, Path, PositionParams, Problem};
use crate::state::App;
use crate::updates::{RETRIES_DEFAULT, TIMEOUT_DEFAULT_MINUTES, WAIT_DEFAULT_MINUTES, limits};

/// Campaigns of the firmware, the newest, that are searched for the device.
const CAMPAIGNS_SEARCHED_MAX: usize = 50;
/// Rules of an update whose device has not answered its command.
const UNANSWERED: [&str; 5] = ["dispatched", "activating", "cancelling", "offline", "unresponsive"];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyNotParams {
    /// The firmware that the device doesn't run.
    #[param(value_type = uuid::Uuid)]
    firmware_id: FirmwareId,
}

impl FilterSet for WhyNotParams {}

/// Why a device doesn't run a firmware.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "device_id": "d-1", "firmware_id": "7c9e6679-7425-5de3-944b-e07fc1f90ae7", "version": "2.1.0", "rule": "held",
    "answer": "the device can't have this firmware: held", "change": "releasing the device, or the end of its hold", "update_id": null,
    "campaign_id": null, "until": null, "at_position": "1790000000123-42",
}))]
pub(crate) struct WhyNotBody {
    device_id: String,
    firmware_id: String,
    /// Of the firmware; null if it was deleted.
    version: Option<String>,
    /// Name of the rule: of the firmware (`firmware_withdrawn`, `firmware_deleted`), of the device (the reasons for which plans exclude
    /// devices, such as `held`, `wrong_model`, `unsigned`, `already_on_version`), `tenant_frozen`, of its update (`offline`, `busy`, `window` …
    /// while it waits, otherwise its phase), of its campaign (what `waits_for` says, such as `approval`, `operator`, `accept`, `signatures`,
    /// `soak`, or `excluded`), or `not_targeted`. For a device of LoRaWAN that hears no command: `not_connected`, `not_synced`. More may be
    /// added.
    rule: String,
    /// The rule in one sentence.
    answer: String,
    /// What would change it.
    change: String,
    /// The update to which the rule belongs.
    #[schema(example = "d-1~17")]
    update_id: Option<String>,
    /// The campaign to which the rule belongs.
    campaign_id: Option<String>,
    /// When the wait ends by itself, if a time ends it.
    until: Option<DateTime<Utc>>,
    /// The answer shows the log up to this position; the device and the firmware may be newer.
    #[schema(example = "1790000000123-42")]
    at_position: String,
}

/// A rule that holds.
#[derive(Debug, Default)]
struct Rule {
    name: String,
    answer: String,
    change: String,
    update: Option<u32>,
    campaign: Option<CampaignId>,
    until: Option<DateTime<Utc>>,
}

impl Rule {
    fn new(name: impl Into<String>, answer: impl Into<String>, change: impl Into<String>) -> Self {
        Self { name: name.into(), answer: answer.into(), change: change.into(), ..Self::default() }
    }
}

/// Explain why a device doesn't run a firmware
///
/// The first rule that keeps the firmware from the device now, in the order in which rules are applied: the firmware itself, the device, the freeze of
/// the tenant, an update of the device, its campaign. If no rule does, nothing brings the firmware: `not_targeted`.
#[utoipa::path(
    get, path = "/devices/{device_id}/why-not", tag = "devices", params(DevicePath, WhyNotParams, PositionParams),
    responses(
        (status = 200, body = WhyNotBody),
        (status = 404, description = "No such device or firmware", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn device_why_not(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(WhyNotParams { firmware_id }): Filters<WhyNotParams>,
    min_position: MinPosition,
) -> Result<Json<WhyNotBody>, Problem> {
    let id = path.device_id;
    let device = app.store.load_fresh(&Key::<Device>::new(&caller.tenant, &id)).await?;
    let firmware = app.store.load_fresh(&Key::<Firmware>::new(&caller.tenant, &firmware_id)).await?;
    if device.version == 0 {
        return Err(Rejection::DeviceUnknown.into());
    }
    if firmware.version == 0 {
        return Err(Rejection::FirmwareUnknown.into());
    }
    min_position.wait(&app, &caller, &[FLEET]).await?;
    MinPosition::from(app.token(device.last_sequence).await?).wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let position = tx.position(FLEET).await?;
    let policy = app.tenants.firmware_policy(&caller.tenant).await?;
    let usable = firmware.aggregate.snapshot_for_new_work(firmware_id, &policy);
    let version = usable.as_ref().ok().map(|firmware| firmware.version.clone());
    let question =
        Question { app: &app, caller: &caller, id: id.as_str(), device: &device.aggregate, now: clock::now() };
    let rule = match usable {
        Err(rejection) => refused(&rejection),
        Ok(firmware) => question.first_rule(&mut tx, firmware).await?,
    };
    let update_id = rule.update.map(|ordinal| UpdateId { device: id.clone(), ordinal }.to_string());
    Ok(Json(WhyNotBody {
        device_id: id.to_string(),
        firmware_id: firmware_id.to_string(),
        version,
        rule: rule.name,
        answer: rule.answer,
        change: rule.change,
        update_id,
        campaign_id: rule.campaign.map(|id| id.to_string()),
        until: rule.until,
        at_position: app.token(position).await?.to_string(),
    }))
}

/// What a refusal says, and what would change it.
fn refused(rejection: &Rejection) -> Rule {
    let (name, change) = match rejection {
        Rejection::NotEligible { reason, .. } => {
            (reason.as_str(), Exclusion::from_word(reason).map_or("another firmware", Exclusion::remedy))
        }
        Rejection::QueueFull => (rejection.code(), Exclusion::QueueFull.remedy()),
        Rejection::DeviceDecommissioned => (rejection.code(), Exclusion::Decommissioned.remedy()),
        Rejection::FirmwareWithdrawn | Rejection::FirmwareDeleted => (rejection.code(), "another firmware"),
        Rejection::TenantFrozen => (rejection.code(), "the end of the freeze, or of the suspension, of the tenant"),
        _ => (rejection.code(), "another request"),
    };
    Rule::new(name, rejection.to_string(), change)
}

/// A device and the time at which it is asked.
struct Question<'a> {
    app: &'a App,
    caller: &'a Caller,
    id: &'a str,
    device: &'a Device,
    now: DateTime<Utc>,
}

/// A campaign of the firmware, and the device in it, if its plan has the device.
struct InCampaign {
    id: CampaignId,
    row: CampaignRow,
    member: Option<MemberView>,
}

impl Question<'_> {
    async fn first_rule(&self, tx: &mut ReadTx, firmware: FirmwareSnapshot) -> Result<Rule, Problem> {
        let found = self.campaign(tx, firmware.firmware_id).await?;
        let live = found.as_ref().filter(|found| found.status().is_live() && found.member.is_some());
        let overrides = live.map_or_else(Overrides::default, |found| found.row.spec.overrides());
        let firmware_id = firmware.firmware_id;
        let decided = self.device.decide(self.now, &self.asked_for(firmware, overrides));
        let frozen = !self.app.tenants.get(&self.caller.tenant).await?.lets_dispatch();
        match decided {
            Err(Rejection::UpdateInProgress { ordinal }) if frozen && !self.is_live(ordinal) => {
                Ok(Rule { update: Some(ordinal), ..refused(&Rejection::TenantFrozen) })
            }
            Err(Rejection::UpdateInProgress { ordinal }) => self.of_update(tx, ordinal).await,
            Err(rejection) => Ok(refused(&rejection)),
            Ok(_) if frozen => Ok(refused(&Rejection::TenantFrozen)),
            Ok(events) => match found {
                Some(found) => self.of_campaign(tx, found, firmware_id).await,
                None => {
                    let former = self.former_update(tx, firmware_id).await?;
                    Ok(former.unwrap_or_else(|| self.not_targeted(&events)))
                }
            },
        }
    }

    fn is_live(&self, ordinal: u32) -> bool {
        self.device.update(ordinal).is_some_and(|update| update.phase.is_live())
    }

    /// A request for the firmware, which is only decided.
    fn asked_for(&self, firmware: FirmwareSnapshot, overrides: Overrides) -> DeviceCommand {
        let Overrides { force_update, allow_downgrade, stages } = overrides;
        let request = UpdateRequest {
            firmware,
            priority: Priority::Normal,
            kind: UpdateKind::Update,
            limits: limits(&self.app.config, TIMEOUT_DEFAULT_MINUTES, WAIT_DEFAULT_MINUTES),
            max_attempts: RETRIES_DEFAULT + 1,
            activate: !stages,
            force_update,
            allow_downgrade,
            preconditions: None,
            require_digest_report: false,
            retry_of: None,
            rolls_back: None,
        };
        DeviceCommand::RequestUpdate { request: Box::new(request) }
    }

    /// The campaign that brings the firmware to the device: a live one, otherwise the newest that has it in its plan.
    async fn campaign(&self, tx: &mut ReadTx, firmware: FirmwareId) -> Result<Option<InCampaign>, Problem> {
        let filter = CampaignFilter { firmware_id: Some(firmware.to_string()), ..CampaignFilter::default() };
        let page = projections::campaigns::list(tx, &filter, None, CAMPAIGNS_SEARCHED_MAX, false).await?;
        let mut ended = None;
        for row in page.items {
            let Ok(id) = row.campaign_id.parse::<CampaignId>() else { continue };
            let filter = MemberFilter { device: Some(self.id.to_owned()), ..MemberFilter::default() };
            let members =
                projections::rollout::members(tx, &row.campaign_id, &filter, self.now, None, 1, false).await?;
            let found = InCampaign { id, member: members.items.into_iter().next(), row };
            match (found.status().is_live(), found.member.is_some()) {
                (true, true) => return Ok(Some(found)),
                (_, true) => ended = ended.or(Some(found)),
                (_, false) => {}
            }
        }
        Ok(ended)
    }

    /// What an update waits for, or how far it is.
    async fn of_update(&self, tx: &mut ReadTx, ordinal: u32) -> Result<Rule, Problem> {
        let device_id = Some(self.id.to_owned());
        let filter = UpdateFilter { device_id, ordinal: Some(ordinal), ..UpdateFilter::default() };
        let page = projections::updates::list(tx, &filter, self.now, None, 1, false).await?;
        let Some(update) = page.items.into_iter().next() else {
            let behind = "the read model doesn't have the update yet";
            return Err(Problem::unavailable("read_model_behind", behind));
        };
        let campaign = update.row.campaign_id.as_ref().and_then(|id| id.parse().ok());
        let rule = match (update.wait_reason, update.row.timed.phase()) {
            (Some(reason), _) => waits(reason),
            (None, Phase::Queued) => Rule::new("queued", "the update is queued", "its turn on the device"),
            (None, phase) => {
                let answer = format!("the update is under way: {}", phase.word());
                Rule::new(phase.word(), answer, "reports of the device")
            }
        };
        let rule = self.unreachable(&rule).await?.unwrap_or(rule);
        let until = update.row.timed.state.not_before.filter(|until| *until > self.now);
        Ok(Rule { update: Some(ordinal), campaign, until, ..rule })
    }

    /// What keeps commands from a device of LoRaWAN whose answer is awaited: without a copy in a ChirpStack it hears nothing.
    async fn unreachable(&self, rule: &Rule) -> Result<Option<Rule>, Problem> {
        let is_awaited = UNANSWERED.contains(&rule.name.as_str());
        if !is_awaited || self.device.profile.transport != Transport::Lorawan {
            return Ok(None);
        }
        let tenant = self.app.tenants.get(&self.caller.tenant).await?;
        let rule = if tenant.chirpstack_in_use().is_none() {
            let answer = "the device is reached by LoRaWAN, and the tenant has no connection to ChirpStack";
            Rule::new("not_connected", answer, "a connection of the tenant to its ChirpStack")
        } else {
            let why = self.device.network().and_then(|network| network.failure.as_ref());
            let (answer, change) = match (self.device.sync_state(), why) {
                (SyncState::Synced, _) => return Ok(None),
                (SyncState::Failed, Some(NetworkFailure { code, reason, .. })) => {
                    (format!("ChirpStack refuses the device: {code}: {reason}"), "what it refuses for, and a new sync")
                }
                (SyncState::NotApplicable, _) => {
                    ("the device has no application in ChirpStack".to_owned(), "an application id of the device")
                }
                (SyncState::Pending | SyncState::Failed, _) => {
                    ("the device is not in ChirpStack as it should be yet".to_owned(), "its sync")
                }
            };
            Rule::new("not_synced", answer, change)
        };
        Ok(Some(rule))
    }

    /// How the latest update to the firmware ended, if there was one and no campaign sent it.
    async fn former_update(&self, tx: &mut ReadTx, firmware: FirmwareId) -> Result<Option<Rule>, Problem> {
        let (device_id, firmware_id) = (Some(self.id.to_owned()), Some(firmware.to_string()));
        let filter = UpdateFilter { device_id, firmware_id, ..UpdateFilter::default() };
        let page = projections::updates::list(tx, &filter, self.now, None, 1, false).await?;
        Ok(page.items.into_iter().next().map(|update| {
            let state = &update.row.timed.state;
            let phase = update.row.regressed_at.map_or(state.phase.word(), |_| "regressed");
            let code = state.code.as_ref().map(|code| format!(" with {code}")).unwrap_or_default();
            let answer = format!("the latest update to this firmware ended: {phase}{code}");
            Rule {
                update: Some(update.row.ordinal),
                ..Rule::new(phase, answer, "another update, or a retry of this one")
            }
        }))
    }

    /// What keeps the campaign from the device.
    async fn of_campaign(&self, tx: &mut ReadTx, found: InCampaign, firmware: FirmwareId) -> Result<Rule, Problem> {
        let InCampaign { id, row, member } = found;
        let status = CampaignStatus::from_word(&row.status).unwrap_or_default();
        let Some(member) = member else { return Ok(self.not_targeted(&[])) };
        let rule = if let Some(reason) = member.excluded {
            let answer = format!("the campaign has excluded the device: {}", reason.word());
            Rule::new("excluded", answer, format!("{}, and another campaign or update", reason.remedy()))
        } else if !status.is_live() || member.ended_at.is_some() {
            // The update also knows what the device did after the end of its campaign.
            let ended =
                || Rule::new(member.displayed_phase, format!("the campaign is {}", row.status), "another update");
            self.former_update(tx, firmware).await?.unwrap_or_else(ended)
        } else {
            let waits_for = waits_of_campaign(tx, &self.caller.tenant, &id, &row, self.now).await?;
            let own = member
                .wait_reason
                .as_deref()
                .and_then(WaitReason::from_word)
                .filter(|_| status == CampaignStatus::Running);
            match (own, waits_for.first()) {
                (Some(reason), _) => waits(reason),
                (None, Some(first)) if member.wave > row.wave => {
                    let answer = format!(
                        "wave {} of the campaign, to which the device belongs, is not open: the campaign waits for {}",
                        member.wave,
                        first.detail()
                    );
                    Rule { until: first.until(), ..Rule::new(first.kind(), answer, first.detail()) }
                }
                (None, Some(first)) => {
                    let answer = format!("the campaign waits for {}", first.detail());
                    Rule { until: first.until(), ..Rule::new(first.kind(), answer, first.detail()) }
                }
                (None, None) => {
                    Rule::new(row.status.as_str(), format!("the campaign is {}", row.status), "its next step")
                }
            }
        };
        let update = member.ordinal.filter(|_| member.excluded.is_none());
        Ok(Rule { campaign: Some(id), update, ..rule })
    }

    /// Nothing keeps the firmware from the device, and nothing brings it. `events`: those of a request for it.
    fn not_targeted(&self, events: &[DeviceEvent]) -> Rule {
        let begins = events.iter().find_map(|event| match event {
            DeviceEvent::UpdateWaiting { reason, .. } => Some(format!("; it would wait {}", reason.explanation())),
            _ => None,
        });
        let change = format!("an update of the device, or a campaign that targets it{}", begins.unwrap_or_default());
        Rule::new("not_targeted", "no update and no campaign brings this firmware to the device", change)
    }
}

fn waits(reason: WaitReason) -> Rule {
    Rule::new(reason.word(), format!("the update waits {}", reason.explanation()), reason.remedy())
}

impl InCampaign {
    fn status(&self) -> CampaignStatus {
        CampaignStatus::from_word(&self.row.status).unwrap_or_default()
    }
}
