//! What the events of a batch add to the sums of a tenant.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::campaign::CampaignStatus;
use domain::device::{Outcome, Phase, UpdateKind};
use sqlx::PgConnection;

use super::populations::{PopulationRow, places};
use super::standing::Standing;
use super::tenant::{NOW, StatisticsRow, TOTAL};
use super::times::Times;
use super::update_standing::{REGRESSED, UpdateStanding};
use crate::db::DbError;
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::observations::{Observations, Seen};
use crate::row::Row as _;
use crate::table::Rows;

/// What is counted, and which of it.
type Counter = (&'static str, &'static str);

#[derive(Default)]
struct Sums {
    counts: HashMap<Counter, i64>,
    times: HashMap<&'static str, Times>,
}

impl Sums {
    fn add(&mut self, counter: Counter, number: i64) {
        *self.counts.entry(counter).or_default() += number;
    }

    fn took(&mut self, what: &'static str, time: TimeDelta) {
        self.times.entry(what).or_default().add(time.num_milliseconds());
    }
}

#[derive(Default)]
struct OfTenant {
    now: Sums,
    days: BTreeMap<NaiveDate, Sums>,
    /// By the key of the row.
    populations: HashMap<Vec<String>, PopulationRow>,
}

/// What the records of a batch add.
#[derive(Default)]
pub(crate) struct Tally {
    tenants: HashMap<String, OfTenant>,
    observations: Observations,
    /// The hardware version of the device in records with a failure, by position.
    hardware: HashMap<u64, String>,
}

impl Tally {
    fn of(&mut self, record: &Decoded) -> &mut OfTenant {
        let tenant = record.raw.key.tenant.as_str();
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.to_owned(), OfTenant::default());
        }
        self.tenants.get_mut(tenant).unwrap_or_else(|| unreachable!("it is there by now"))
    }

    /// Remembers the hardware of a device that reports a failure: later records of the batch may change it.
    pub(crate) fn failed_on(&mut self, record: &Decoded, hardware_version: Option<&String>) {
        if record.device_events().iter().any(|event| event.failure_code().is_some()) {
            self.hardware.extend(hardware_version.map(|version| (record.raw.position, version.clone())));
        }
    }

    /// The hardware of the device that reports a failure in a record.
    pub(crate) fn hardware_at(&self, record: &Decoded) -> Option<String> {
        self.hardware.get(&record.raw.position).cloned()
    }

    /// A record changed where its device counts.
    pub(crate) fn device(&mut self, record: &Decoded, before: Option<Standing>, now: Option<Standing>) {
        if before == now {
            return;
        }
        let at_s = record.at().timestamp();
        let tenant = record.raw.key.tenant.as_str();
        let sums = self.of(record);
        for (standing, number) in before.iter().map(|was| (was, -1)).chain(now.iter().map(|is| (is, 1))) {
            sums.now.add(("device", standing.status), number);
        }
        if let (Some(before), Some(now)) = (&before, &now)
            && before.kind == now.kind
            && before.versions == now.versions
        {
            return;
        }
        for (standing, number) in before.iter().map(|was| (was, -1)).chain(now.iter().map(|is| (is, 1))) {
            for (component, version) in &standing.versions {
                for row in places(tenant, component, &standing.kind, version, at_s) {
                    sums.populations.entry(row.key()).or_insert(row).devices += number;
                }
            }
        }
    }

    pub(crate) fn update_queued(&mut self, record: &Decoded, update: &UpdateStanding) {
        let kind = update.kind_word();
        self.observations.add(record.at(), Seen::Requested { kind });
        let sums = self.of(record);
        sums.now.add(("update", update.phase_word()), 1);
        sums.days.entry(record.at().date_naive()).or_default().add((kind, "requested"), 1);
    }

    /// `has_moved`: the event brought it to a phase, be it the same again.
    pub(crate) fn update_changed(
        &mut self,
        record: &Decoded,
        before: &UpdateStanding,
        now: &UpdateStanding,
        has_moved: bool,
    ) {
        let (at, kind) = (record.at(), now.kind_word());
        self.observe(at, before, now, has_moved);
        let sums = self.of(record);
        if before.phase_word() != now.phase_word() {
            sums.now.add(("update", before.phase_word()), -1);
            sums.now.add(("update", now.phase_word()), 1);
        }
        let day = sums.days.entry(at.date_naive()).or_default();
        if has_moved {
            day.took(before.phase.word(), at - before.phase_since);
        }
        if let (Phase::Ended(outcome), true) = (now.phase, has_moved) {
            day.add((kind, outcome.word()), 1);
            if let Some(worked) = confirmed_after(now) {
                day.took(TOTAL, worked);
            }
        }
        let more_attempts = now.more_attempts_than(before);
        if more_attempts > 0 {
            day.add((kind, "retries"), more_attempts.into());
        }
        if now.is_regressed && !before.is_regressed {
            day.add((kind, REGRESSED), 1);
        }
    }

    /// The same for the metrics of the process.
    fn observe(&mut self, at: DateTime<Utc>, before: &UpdateStanding, now: &UpdateStanding, has_moved: bool) {
        let kind = now.kind_word();
        let mut seen = |what| self.observations.add(at, what);
        if has_moved {
            let after = (at - before.phase_since).to_std().unwrap_or_default();
            seen(Seen::Left { phase: before.phase.word(), after });
        }
        if let (Phase::Ended(outcome), true) = (now.phase, has_moved) {
            seen(Seen::Ended { kind, outcome });
            if let Some(worked) = confirmed_after(now) {
                seen(Seen::Confirmed { after: worked.to_std().unwrap_or_default() });
            }
        }
        (0..now.more_attempts_than(before)).for_each(|_| seen(Seen::Retried { kind }));
        if now.is_regressed && !before.is_regressed {
            seen(Seen::Regressed);
        }
    }

    /// A record changed a campaign's status; none before it was created.
    pub(crate) fn campaign(&mut self, record: &Decoded, before: Option<CampaignStatus>, now: Option<CampaignStatus>) {
        if before == now {
            return;
        }
        let sums = self.of(record);
        for (status, number) in before.map(|was| (was, -1)).into_iter().chain(now.map(|is| (is, 1))) {
            sums.now.add(("campaign", status.word()), number);
        }
    }

    pub(crate) async fn save(self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), DbError> {
        memory.observations.append(self.observations);
        let (mut periods, mut populations) = (Vec::new(), HashMap::new());
        for (tenant, sums) in self.tenants {
            let days = sums.days.into_iter().map(|(day, sums)| (day.to_string(), sums));
            for (period, sums) in days.chain([(NOW.to_owned(), sums.now)]) {
                periods.push((StatisticsRow::empty(tenant.clone(), period), sums));
            }
            populations.extend(sums.populations);
        }
        periods.retain(|(_, sums)| !sums.counts.is_empty() || !sums.times.is_empty());
        if !periods.is_empty() {
            let keys = periods.iter().map(|(row, _)| row.key()).collect();
            let mut rows = Rows::<StatisticsRow>::recall(connection, memory, keys).await?;
            for (empty, sums) in periods {
                let key = empty.key();
                let mut row = rows.get(&key).cloned().unwrap_or(empty);
                row.add(&sums.counts, &sums.times);
                rows.put(row);
            }
            rows.keep(connection, memory).await?;
        }
        if !populations.is_empty() {
            let mut rows =
                Rows::<PopulationRow>::recall(connection, memory, populations.keys().cloned().collect()).await?;
            for (key, mut change) in populations {
                change.devices += rows.get(&key).map_or(0, |row| row.devices);
                rows.put(change);
            }
            rows.keep(connection, memory).await?;
        }
        Ok(())
    }
}

/// How long an update took that is confirmed; none of a rollback.
fn confirmed_after(update: &UpdateStanding) -> Option<TimeDelta> {
    let is_confirmed = update.phase == Phase::Ended(Outcome::Confirmed) && update.kind == UpdateKind::Update;
    update.worked.filter(|_| is_confirmed)
}
