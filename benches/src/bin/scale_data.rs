//! Fills a data directory through the journal, much faster than requests could: wallets, then transfers between them.
//!
//!     scale_data fill DATA_DIR WALLETS EVENTS      a log without a snapshot
//!     scale_data snapshot DATA_DIR                 a snapshot at its end, as the service writes them in the background
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use wallex::driver::now;
use wallex::layout;
use wallex_benches::events::{Log, append_of};
use wallex_core::effect::{Append, Completion};
use wallex_core::id::Position;
use wallex_core::time::Timestamp;
use wallex_journal::{Journal, Options, OsStorage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commands in one group: one write and one sync.
const GROUP: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", dir, wallets, events] => fill(Path::new(dir), wallets.parse()?, events.parse()?),
        ["snapshot", dir] => snapshot(Path::new(dir)),
        _ => Err("usage: scale_data fill DATA_DIR WALLETS EVENTS | scale_data snapshot DATA_DIR".into()),
    }
}

fn open(data_dir: &Path) -> Result<Journal<OsStorage>, Box<dyn Error>> {
    let storage = OsStorage::create(layout::journal(data_dir))?;
    Ok(Journal::open(storage, Options::default())?.0)
}

fn fill(data_dir: &Path, wallets: usize, events: usize) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut journal = open(data_dir)?;
    if journal.position() != Position(0) {
        return Err("the journal is not empty".into());
    }
    let maintenance = journal.maintenance();
    let mut log = Log::new(wallets);
    let mut group: Vec<Append> = Vec::with_capacity(GROUP);
    for at in 0..wallets {
        group.push(append_of(log.create(at)));
        if group.len() == GROUP {
            write(&mut journal, &mut group, log.now())?;
        }
    }
    for _ in 0..events.saturating_sub(wallets) / 2 {
        group.push(append_of(log.transfer()));
        if group.len() == GROUP {
            write(&mut journal, &mut group, log.now())?;
            maintenance.prepare_next_segment()?;
        }
    }
    write(&mut journal, &mut group, log.now())?;
    maintenance.build_indexes()?;
    println!("{} events in {:.1} s", journal.position(), began.elapsed().as_secs_f64());
    Ok(journal.close(now())?)
}

fn write(journal: &mut Journal<OsStorage>, group: &mut Vec<Append>, at: Timestamp) -> Result<(), String> {
    let outcomes = journal.append(group, at);
    match outcomes.into_iter().find(|outcome| *outcome != Completion::Done(())) {
        Some(outcome) => Err(format!("the journal refuses: {outcome:?}")),
        None => {
            group.clear();
            Ok(())
        }
    }
}

fn snapshot(data_dir: &Path) -> Result<(), Box<dyn Error>> {
    let journal = open(data_dir)?;
    let began = Instant::now();
    let reached = journal.maintenance().write_snapshot(now())?;
    println!("snapshot at {} in {:.1} s", reached.unwrap_or_default(), began.elapsed().as_secs_f64());
    Ok(journal.close(now())?)
}
