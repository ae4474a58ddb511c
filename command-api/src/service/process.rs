//! Prometheus' standard process metrics, from `/proc`; without `/proc` there are none.

use std::fmt::Write as _;
use std::fs;

/// Ticks per second in the times that Linux gives to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `/proc/self/stat`, counted after the name of the program.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const THREADS: usize = 17;
const START_TICKS: usize = 19;

/// Lines in the text format of Prometheus.
pub(super) fn metrics() -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string doesn't fail.
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n").ok();
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |field: usize| stat_field(&stat, field).map(|ticks| ticks / TICKS_PER_SECOND);
    let cpu = ticks(USER_TICKS).zip(ticks(SYSTEM_TICKS)).map(|(user, system)| user + system);
    let started = boot_time_s().zip(ticks(START_TICKS)).map(|(boot, since)| boot + since);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    add("process_cpu_seconds_total", "counter", "Processor time used, by user and system together, in seconds.", cpu);
    add("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", started);
    add("process_resident_memory_bytes", "gauge", "Memory that is resident, in bytes.", kib(&status, "VmRSS:"));
    add("process_virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", kib(&status, "VmSize:"));
    add("process_threads", "gauge", "Threads of the operating system.", stat_field(&stat, THREADS));
    add("process_open_fds", "gauge", "File descriptors that are open.", open_files());
    add("process_max_fds", "gauge", "File descriptors that may be open.", open_files_max(&limits));
    text
}

/// A number after the program's name, which may contain blanks and brackets.
fn stat_field(stat: &str, field: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1_024.0)
}

fn boot_time_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_files() -> Option<f64> {
    // The directory itself is open while it is read, so it is not counted.
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as f64)
}

fn open_files_max(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_name_has_brackets_is_read_right() {
        let stat = "7 (way ) bill) S 1 7 7 0 -1 4194304 1 0 0 0 250 150 0 0 20 0 9 0 4200 1 1";
        assert_eq!(
            [USER_TICKS, SYSTEM_TICKS, THREADS, START_TICKS].map(|field| stat_field(stat, field)),
            [Some(250.0), Some(150.0), Some(9.0), Some(4_200.0)]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_files_and_a_start() {
        let text = metrics();
        for name in
            ["cpu_seconds_total", "start_time_seconds", "resident_memory_bytes", "open_fds", "max_fds", "threads"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
    }
}
