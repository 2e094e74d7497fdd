//! What the system knows of a process. Where there is no `/proc`, it is nothing.

/// The processor time of a process in milliseconds, all its threads together.
pub(crate) fn processor_millis(process: Option<u32>) -> f64 {
    // Ticks are a hundredth of a second on every Linux (man 5 proc, USER_HZ).
    const TICK_MILLIS: f64 = 10.0;
    let text = process.and_then(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
    // The second field, a name in parentheses, may hold anything; utime and stime are the 14th and 15th.
    let ticks = text.as_deref().and_then(|text| {
        let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
        let (user, system) = (fields.next()?, fields.next()?);
        Some(user.parse::<f64>().ok()? + system.parse::<f64>().ok()?)
    });
    ticks.map_or(f64::NAN, |ticks| ticks * TICK_MILLIS)
}

/// The octets of this process that are in main memory.
pub(crate) fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
