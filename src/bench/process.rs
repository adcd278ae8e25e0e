//! CPU time and memory of another process, from Linux's `/proc`.

use super::BenchError;

/// Figures of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Largest resident memory so far in bytes.
    pub resident_bytes_peak: u64,
}

/// The figures of `pid` now.
pub(super) fn usage(pid: u32) -> Result<Usage, BenchError> {
    let failed = || BenchError::Process { pid };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| failed())?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| failed())?;
    // utime and stime are the 12th and 13th field behind the command, in ticks of 1/100 s. proc(5).
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or_else(failed)?;
    let kib = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Ok(Usage {
        cpu_seconds: (user + system) as f64 / 100.0,
        resident_bytes: kib("VmRSS:").unwrap_or(0) * 1024,
        resident_bytes_peak: kib("VmHWM:").unwrap_or(0) * 1024,
    })
}
