//! What the kernel says about this process (Linux).

use std::time::Duration;

/// The unit of times in `/proc`: the kernel shows hundredths of a second to everyone.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that this process has used, all threads together; zero where there is no `/proc`.
#[must_use]
pub fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the name in parentheses, which may hold anything; user and system time are 12 and 13 after it.
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// One line about the machine: processors, their model, the kernel.
#[must_use]
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = if kernel.is_empty() { String::new() } else { format!(", Linux {}", kernel.trim()) };
    format!("{cores} processors ({model}){system}")
}
