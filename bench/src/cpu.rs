//! CPU time and memory per process, from `/proc`.
//!
//! Waybill's parts run in this process on separate async runtimes ([`crate::world::Part`]), so thread names tell them
//! apart. PostgreSQL's time is that of its postmaster, of its living children and of children that have ended.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

/// Unit of CPU time in `/proc`. Linux reports 100 ticks a second to programs on every machine.
const TICKS_PER_SECOND: f64 = 100.0;
/// Names of threads are cut to this length, in bytes.
const THREAD_NAME_BYTES: usize = 15;

/// Name of this process where parts of Waybill run in it.
pub(crate) const THIS: &str = "waybill and bench";

/// Processes to measure beside this one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    /// Processes without children, by name.
    pub(crate) processes: Vec<(&'static str, u32)>,
    pub(crate) postmaster: Option<u32>,
    /// Names of this process's runtimes. All its other threads belong to the bench.
    pub(crate) parts: Vec<&'static str>,
}

/// CPU time since a start, in milliseconds, by process or part.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Cpu(pub(crate) BTreeMap<String, f64>);

impl Cpu {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(name, ms)| (name.clone(), ms - before.0.get(name).unwrap_or(&0.0))).collect())
    }

    /// Per unit of work.
    pub(crate) fn per(&self, count: usize) -> Self {
        Self(self.0.iter().map(|(name, ms)| (name.clone(), ms / count.max(1) as f64)).collect())
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (name, ms) in &more.0 {
            *self.0.entry(name.clone()).or_insert(0.0) += ms;
        }
    }

    /// The sum of some of them.
    pub(crate) fn of(&self, names: &[&str]) -> f64 {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    pub(crate) fn total(&self) -> f64 {
        self.0.values().sum()
    }
}

impl Watched {
    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Cpu {
        let mut used = BTreeMap::new();
        for (thread, ms) in own_threads() {
            let part = self.parts.iter().find(|part| cut(part) == thread);
            *used.entry(part.copied().unwrap_or("bench").to_owned()).or_insert(0.0) += ms;
        }
        for (name, pid) in &self.processes {
            used.insert((*name).to_owned(), ticks_ms(&format!("/proc/{pid}/stat")).own);
        }
        if let Some(pid) = self.postmaster {
            let postmaster = ticks_ms(&format!("/proc/{pid}/stat"));
            let children = children_of(pid).into_iter().map(|child| ticks_ms(&format!("/proc/{child}/stat")).own);
            used.insert("postgres".to_owned(), postmaster.own + postmaster.waited_for + children.sum::<f64>());
        }
        Cpu(used)
    }

    /// Largest memory so far, in MiB. For PostgreSQL: the present anonymous memory of all its processes.
    pub(crate) fn memory_mib(&self) -> BTreeMap<String, f64> {
        let this = if self.parts.is_empty() { "bench" } else { THIS };
        let mut found = BTreeMap::from([(this.to_owned(), status_mib("self", "VmHWM"))]);
        for (name, pid) in &self.processes {
            found.insert((*name).to_owned(), status_mib(&pid.to_string(), "VmHWM"));
        }
        if let Some(pid) = self.postmaster {
            let processes = children_of(pid).into_iter().chain([pid]);
            let mib = processes.map(|pid| status_mib(&pid.to_string(), "RssAnon")).sum();
            found.insert("postgres".to_owned(), mib);
        }
        found
    }

    /// Present memory of one of the processes, in MiB.
    pub(crate) fn resident_mib(&self, name: &str) -> f64 {
        let found = self.processes.iter().find(|(known, _)| *known == name);
        found.map_or(0.0, |(_, pid)| status_mib(&pid.to_string(), "VmRSS"))
    }

    /// Resets the largest memory of each process, if the system supports that.
    pub(crate) fn forget_peaks(&self) {
        const FORGET_PEAK: &str = "5";
        fs::write("/proc/self/clear_refs", FORGET_PEAK).ok();
        for (_, pid) in &self.processes {
            fs::write(format!("/proc/{pid}/clear_refs"), FORGET_PEAK).ok();
        }
    }
}

fn cut(name: &str) -> &str {
    name.get(..THREAD_NAME_BYTES).unwrap_or(name)
}

/// How long the processors have had nothing to do since the system's start, in milliseconds, summed over all of them.
pub(crate) fn idle_ms() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let of_all = text.lines().find_map(|line| line.strip_prefix("cpu "));
    // proc(5): user, nice, system, idle, iowait.
    let idle =
        of_all.map(|line| line.split_whitespace().skip(3).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum());
    idle.unwrap_or(0.0) * 1_000.0 / TICKS_PER_SECOND
}

/// Name and CPU time of each living thread of this process.
fn own_threads() -> Vec<(String, f64)> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return vec![] };
    let times = threads.flatten().filter_map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        Some((name.trim_end().to_owned(), ticks_ms(thread.path().join("stat").to_str()?).own))
    });
    times.collect()
}

#[derive(Default)]
struct Ticks {
    own: f64,
    waited_for: f64,
}

/// CPU time of a process or thread, in milliseconds; none when it is gone.
fn ticks_ms(stat: &str) -> Ticks {
    fields(stat)
        .map(|fields| {
            let ms = |first: usize| {
                let ticks: f64 = fields[first..first + 2].iter().filter_map(|text| text.parse::<f64>().ok()).sum();
                ticks * 1_000.0 / TICKS_PER_SECOND
            };
            // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime. The first two fields come before the end of the brackets.
            Ticks { own: ms(11), waited_for: ms(13) }
        })
        .unwrap_or_default()
}

/// The fields after the name, which is in brackets and may contain any character.
fn fields(stat: &str) -> Option<Vec<String>> {
    const FIELDS_MIN: usize = 15;
    let text = fs::read_to_string(stat).ok()?;
    let fields: Vec<String> = text.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect();
    (fields.len() >= FIELDS_MIN).then_some(fields)
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return vec![] };
    let children = processes.flatten().filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let fields = fields(process.path().join("stat").to_str()?)?;
        (fields[1].parse() == Ok(parent)).then_some(pid)
    });
    children.collect()
}

/// A line of `/proc/<pid>/status`, in MiB; 0 when there is none.
fn status_mib(pid: &str, line: &str) -> f64 {
    const KIB_PER_MIB: f64 = 1_024.0;
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / KIB_PER_MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_part_is_counted_for_that_part() {
        let watched = Watched { parts: vec!["a part with a long name"], ..Watched::default() };
        let before = watched.cpu();
        let worker = std::thread::Builder::new().name("a part with a long name".to_owned()).spawn(|| {
            let began = std::time::Instant::now();
            while began.elapsed() < std::time::Duration::from_millis(200) {
                std::hint::black_box(0);
            }
            Watched { parts: vec!["a part with a long name"], ..Watched::default() }.cpu()
        });
        let after = worker.unwrap().join().unwrap();
        assert!(after.since(&before).0["a part with a long name"] > 0.0, "{after:?}");
    }
}
