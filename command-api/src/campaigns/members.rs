//! `GET /campaigns/{id}/devices`: members and excluded devices, with the reason.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::device::Exclusion;
use projections::FLEET;
use projections::rollout::{
    LATE_CONFIRMED, LeftOut, MemberFilter, MemberView, ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK,
};
use runtime::clock;
use serde::Deserialize;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::get;
use crate::auth::Caller;
use crate::http::path::{CampaignDevicePath, CampaignPath};
use crate::http::{
    FilterSet, Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, PositionParams, Problem,
};
use crate::legacy_status::{StatusNames, phases, phases_of, status_names};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberFilters {
    /// A name of `status_counts` (a phase, `planned` or `excluded`), or `late_confirmed`. A status name of the old systems means all its
    /// phases.
    phase: Option<String>,
    /// From 1.
    wave: Option<u16>,
    /// `true` for all excluded devices, `false` for all others, or a reason.
    excluded: Option<String>,
}

impl FilterSet for MemberFilters {}

/// Phases of members that have no update, each with the update's phase that has the same old status name.
const WITHOUT_UPDATE: [(&str, &str); 2] = [(PLANNED, "queued"), (EXCLUDED, "superseded")];
/// Its update doesn't exist yet, as in `queued`.
const PLANNED: &str = "planned";
/// It gets no update in this campaign.
const EXCLUDED: &str = "excluded";
/// Shown for members that go back or went back, in place of the phase of the update that is undone.
pub(super) const OF_ROLLBACK: [&str; 3] = [ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED];
/// Shown for members that have no update, in place of an update's phase.
pub(super) const WITHOUT_PHASE: [&str; 2] = [PLANNED, EXCLUDED];

impl MemberFilters {
    fn into_filter(self) -> Result<MemberFilter, Problem> {
        let phases = self.phase.as_deref().map(phases_said).transpose()?;
        let excluded = self.excluded.as_deref().map(left_out).transpose()?;
        Ok(MemberFilter { device: None, phases: phases.unwrap_or_default(), wave: self.wave, excluded })
    }
}

/// Parses the filter `excluded`.
pub(super) fn left_out(word: &str) -> Result<LeftOut, Problem> {
    match word {
        "true" => Ok(LeftOut::Yes),
        "false" => Ok(LeftOut::No),
        reason => Exclusion::from_word(reason)
            .map(LeftOut::For)
            .ok_or_else(|| Problem::bad_request(format!("excluded: {word:?} is neither true nor false nor a reason"))),
    }
}

/// The members' phases that the filter `phase` means.
fn phases_said(word: &str) -> Result<Vec<String>, Problem> {
    let own = phases().chain(WITHOUT_PHASE).chain(OF_ROLLBACK).chain([LATE_CONFIRMED]).find(|phase| *phase == word);
    if let Some(phase) = own {
        return Ok(vec![phase.to_owned()]);
    }
    if word.eq_ignore_ascii_case("rollback") {
        return Ok(OF_ROLLBACK.map(str::to_owned).to_vec());
    }
    let meant = phases_of(word).ok_or_else(|| Problem::bad_request(format!("phase: {word:?} is not known")))?;
    let without = WITHOUT_UPDATE.iter().filter(|(_, like)| meant.contains(like)).map(|(phase, _)| *phase);
    Ok(meant.iter().copied().chain(without).map(str::to_owned).collect())
}

/// A device in a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    device_id: String,
    /// 0 for excluded devices.
    wave: u16,
    /// Position in the campaign's order, from 0.
    rank: u32,
    /// Why it is excluded.
    excluded: Option<String>,
    from_version: Option<String>,
    #[serde(flatten)]
    names: StatusNames,
    /// Why its update waits, or doesn't exist yet although its wave is open.
    wait_reason: Option<String>,
    /// Its current update; null until it begins, also after a retry of the campaign.
    update_id: Option<String>,
    attempt: u16,
    code: Option<String>,
    holds_slot: bool,
    reached_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    regressed_at: Option<DateTime<Utc>>,
    /// Its update ended otherwise, but the device now reports that it runs the version.
    late_confirmed: bool,
    /// Its latest update that takes it back.
    rollback_id: Option<String>,
    /// Why it can't go back in the campaign's rollback: `no_previous_version`, `firmware_unknown` or `firmware_withdrawn`.
    rollback_obstacle: Option<String>,
}

impl From<MemberView> for Member {
    fn from(member: MemberView) -> Self {
        let phase = member.displayed_phase;
        let like = WITHOUT_UPDATE.iter().find(|(own, _)| *own == phase).map_or(phase, |(_, like)| *like);
        let kind = if OF_ROLLBACK.contains(&phase) { "rollback" } else { "update" };
        let said = StatusNames { phase: phase.to_owned(), ..status_names(like, kind) };
        Self {
            names: said,
            update_id: update_id(phase, &member.device_id, member.ordinal),
            wave: member.wave,
            rank: member.rank,
            excluded: member.excluded.map(|reason| reason.word().to_owned()),
            from_version: member.from_version,
            wait_reason: member.wait_reason,
            attempt: member.attempt,
            code: member.code,
            holds_slot: member.holds_slot,
            reached_at: member.reached_at,
            ended_at: member.ended_at,
            regressed_at: member.regressed_at,
            late_confirmed: member.late_confirmed,
            rollback_id: update_id(phase, &member.device_id, member.rollback_ordinal),
            rollback_obstacle: member.rollback_obstacle.map(|obstacle| obstacle.word().to_owned()),
            device_id: member.device_id,
        }
    }
}

/// The update of a member in this phase. A member that begins again has no current update, only an ended one.
fn update_id(phase: &str, device: &str, ordinal: Option<u32>) -> Option<String> {
    let ordinal = ordinal.filter(|_| phase != PLANNED)?;
    Some(format!("{device}~{ordinal}"))
}

/// List a campaign's devices
///
/// In the campaign's order. Empty until it is planned.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/devices", tag = "campaigns", params(CampaignPath, MemberFilters, PageParams),
    responses((status = 200, body = List<Member>))
)]
pub(crate) async fn campaign_devices(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(filters): Filters<MemberFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<Member>>, Problem> {
    let filter = filters.into_filter()?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let after = match paging.keys::<3>()? {
        Some([wave, rank, device]) => Some((Paging::number(wave)?, Paging::number(rank)?, device)),
        None => None,
    };
    let (mut tx, campaign) = get::row(&app, &caller, path.campaign_id, &[FLEET]).await?;
    let id = campaign.campaign_id.as_str();
    let page =
        projections::rollout::members(&mut tx, id, &filter, clock::now(), after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, Member::from)))
}

/// Get a device of a campaign
///
/// Its place in the plan, where it stands, and why it waits or is excluded. 404 if the campaign has no such device, or no plan yet.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/devices/{device_id}", tag = "campaigns", params(CampaignDevicePath, PositionParams),
    responses((status = 200, body = Member))
)]
pub(crate) async fn campaign_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignDevicePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
) -> Result<Json<Member>, Problem> {
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let (mut tx, campaign) = get::row(&app, &caller, path.campaign_id, &[FLEET]).await?;
    let filter = MemberFilter { device: Some(path.device_id.to_string()), ..MemberFilter::default() };
    let id = campaign.campaign_id.as_str();
    let page = projections::rollout::members(&mut tx, id, &filter, clock::now(), None, 1, false).await?;
    let member = page.items.into_iter().next();
    member.map(|member| Json(Member::from(member))).ok_or_else(|| Problem::not_found("the campaign has no such device"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(word: &str) -> Vec<String> {
        phases_said(word).unwrap()
    }

    #[test]
    fn every_word_that_replies_say_can_be_asked_for() {
        assert_eq!(said("confirmed"), ["confirmed"]);
        assert_eq!(said("cancelled"), ["cancelled"]);
        assert_eq!(said("regressed"), ["regressed"]);
        assert_eq!((said("planned"), said("excluded")), (vec!["planned".to_owned()], vec!["excluded".to_owned()]));
        assert_eq!(said("completed"), ["confirmed"]);
        assert_eq!(said("in_progress"), ["dispatched", "accepted", "deferred", "cancelling"]);
        assert_eq!(said("created"), ["queued", "planned"]);
        assert_eq!(said("QUEUED"), ["queued", "waiting", "planned"]);
        assert_eq!(said("CANCELLED"), ["cancelled", "expired", "superseded", "excluded"]);
        assert_eq!(said("late_confirmed"), ["late_confirmed"]);
        assert_eq!(phases_said("nonsense").unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn who_begins_again_stands_by_no_update_yet() {
        assert_eq!(update_id("failed", "d-1", Some(3)).as_deref(), Some("d-1~3"));
        assert_eq!(update_id(PLANNED, "d-1", Some(3)), None);
        assert_eq!(update_id(EXCLUDED, "d-1", None), None);
    }

    #[test]
    fn left_out_is_said_by_yes_no_or_a_reason() {
        assert_eq!((left_out("true").unwrap(), left_out("false").unwrap()), (LeftOut::Yes, LeftOut::No));
        for reason in Exclusion::all() {
            assert_eq!(left_out(reason.word()).unwrap(), LeftOut::For(reason));
        }
        for word in ["", "TRUE", "nonsense", "*"] {
            let problem = left_out(word).unwrap_err();
            assert_eq!(problem.status().as_u16(), 400, "{word}");
            assert!(problem.detail().starts_with("excluded"), "{}", problem.detail());
        }
    }
}
