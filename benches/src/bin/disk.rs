//! What one durable write costs on this disk: 4 KiB and fdatasync, appended to a file and written over a preallocated
//! one. Prints one line of JSON in the form that `scripts/bench.sh` collects.
//!
//!     disk DIR
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

const BLOCK: usize = 4_096;
const WRITES: u64 = 1_000;

/// The median of a write and its sync.
fn median(file: &File) -> std::io::Result<Duration> {
    let block = [7_u8; BLOCK];
    let mut times = Vec::with_capacity(WRITES as usize);
    for at in 0..WRITES {
        let began = Instant::now();
        file.write_all_at(&block, at * BLOCK as u64)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: disk DIR")?;
    let path = Path::new(&dir).join("disk-probe");
    let appended = median(&file(&path)?)?;
    let preallocated = file(&path)?;
    preallocated.write_all_at(&vec![0; BLOCK * WRITES as usize], 0)?;
    preallocated.sync_all()?;
    let overwritten = median(&preallocated)?;
    std::fs::remove_file(&path)?;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({ "subject": "disk", "append_sync_ms": millis(appended), "overwrite_sync_ms": millis(overwritten) })
    );
    Ok(())
}
