//! The processor time of this process and of others (`/proc`, Linux).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;

/// How long one of the kernel's ticks is, in which it says what a process took: 100 a second, on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// Where the ticks in user mode stand in `stat` behind the program's name; those in system mode are next.
const USER_TICKS: usize = 11;

/// Why a process cannot be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessTimeError {
    /// It is not there.
    #[error("there is no process {pid}: {source}")]
    NoProcess {
        /// Its number.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What the system says of it cannot be read.
    #[error("what the system says of process {pid} cannot be read")]
    Unreadable {
        /// Its number.
        pid: u32,
    },
}

/// What this process took until now.
#[must_use]
pub fn own() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// What another process took until a moment.
#[derive(Clone, Debug)]
pub struct ProcessTime {
    pid: u32,
    ticks: Duration,
    threads: BTreeMap<String, Duration>,
}

impl ProcessTime {
    /// What the process with this number took until now.
    ///
    /// # Errors
    /// [`ProcessTimeError`].
    pub fn of(pid: u32) -> Result<Self, ProcessTimeError> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = std::fs::read_to_string(folder.join("stat"));
        let stat = stat.map_err(|source| ProcessTimeError::NoProcess { pid, source })?;
        let ticks = ticks(&stat).ok_or(ProcessTimeError::Unreadable { pid })?;
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split_whitespace().next().and_then(|number| number.parse().ok());
            if let Some(nanos) = nanos {
                let thread = entry.file_name().to_string_lossy().into_owned();
                threads.insert(thread, Duration::from_nanos(nanos));
            }
        }
        Ok(Self { pid, ticks, threads })
    }

    /// What the process took since then.
    ///
    /// # Errors
    /// [`ProcessTimeError`].
    pub fn until_now(&self) -> Result<Duration, ProcessTimeError> {
        Ok(Self::of(self.pid)?.since(self))
    }

    /// To the nanosecond by threads, if none of them has ended meanwhile; else in ticks, which count those too.
    fn since(&self, earlier: &Self) -> Duration {
        let is_whole = !earlier.threads.is_empty()
            && earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        let sum = |all: &BTreeMap<String, Duration>| all.values().sum::<Duration>();
        match is_whole {
            true => sum(&self.threads).saturating_sub(sum(&earlier.threads)),
            false => self.ticks.saturating_sub(earlier.ticks),
        }
    }
}

/// The ticks in user and system mode: the program's name before them may hold anything but a closing parenthesis.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut fields = behind.split(' ').skip(USER_TICKS);
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(TICK * next()?.checked_add(next()?)?)
}

/// How the processors of this machine were used until a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineTime {
    busy: u64,
    all: u64,
}

impl MachineTime {
    /// Until now; nothing where the system does not say.
    pub(super) fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|each| each.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests took stands in `user` already.
        let all: u64 = ticks.iter().take(8).sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        (ticks.len() >= 4).then_some(Self { busy: all.saturating_sub(idle), all })
    }

    /// The share of all processors that somebody used since then, from 0 to 1.
    pub(super) fn share_since(self, earlier: Self) -> f64 {
        let part = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        let all = part(self.all.saturating_sub(earlier.all));
        part(self.busy.saturating_sub(earlier.busy)) / all.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_takes_time() {
        let (pid, before) = (std::process::id(), own());
        let earlier = ProcessTime::of(pid).unwrap();
        let mut sum = 0_u64;
        while own() < before + Duration::from_millis(30) {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0 && earlier.until_now().unwrap() >= Duration::from_millis(10));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let gone = ProcessTime::of(u32::MAX);
        assert!(matches!(gone, Err(ProcessTimeError::NoProcess { pid: u32::MAX, .. })));
    }

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_move_the_numbers() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1 0 1";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1680)));
        assert_eq!(ticks("7 (a S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn a_thread_that_ended_is_counted_in_ticks() {
        let thread = |name: &str, millis| (name.to_owned(), Duration::from_millis(millis));
        let time = |ticks, threads: &[(String, Duration)]| ProcessTime {
            pid: 1,
            ticks: Duration::from_millis(ticks),
            threads: threads.iter().cloned().collect(),
        };
        let earlier = time(100, &[thread("1", 50), thread("2", 50)]);
        let whole = time(140, &[thread("1", 60), thread("2", 75), thread("3", 1)]);
        assert_eq!(whole.since(&earlier), Duration::from_millis(36));
        let without = time(140, &[thread("1", 60)]);
        assert_eq!(without.since(&earlier), Duration::from_millis(40));
    }

    #[test]
    fn idle_time_is_not_busy() {
        let read = |text: &str| MachineTime::read(text);
        let earlier = read("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1").unwrap();
        let later = read("cpu  40 0 10 130 10 0 10 0 9 0").unwrap();
        assert!((later.share_since(earlier) - 0.4).abs() < 1e-9);
        assert!(read("intr 5").is_none() && read("cpu  1 2").is_none());
    }
}
