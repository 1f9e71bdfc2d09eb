//! What is kept of a failed run, in files: its plan, and its trace.
//!
//! A file that cannot be written hides no failure: the report says why it is not there.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::plan::Plan;
use crate::report::{preset_name, topology_name};
use crate::trace::Record;
use crate::world::{self, Outcome};

/// Where the plan and the trace of a failure lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What ran.
    pub plan: Place,
    /// What happened.
    pub trace: Place,
}

/// A file, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is there.
    File(PathBuf),
    /// There is none.
    Nowhere(String),
}

impl Place {
    /// The place of what was just written, or was not.
    fn of(path: PathBuf, written: io::Result<()>) -> Self {
        match written {
            Ok(()) => Self::File(path),
            Err(error) => Self::Nowhere(format!("cannot write {}: {error}", path.display())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Nowhere(why) => write!(f, "not kept ({why})"),
        }
    }
}

/// Reads a plan.
///
/// # Errors
/// When there is none, or the file is no plan.
pub fn load_plan(path: &Path) -> io::Result<Plan> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(named)?;
    serde_json::from_str(&text).map_err(|error| named(error.into()))
}

/// Writes a plan, to be edited and replayed.
///
/// # Errors
/// When the file cannot be written.
pub fn save_plan(path: &Path, plan: &Plan) -> io::Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(plan)? + "\n")
}

/// Writes a trace, one JSON object a line.
///
/// # Errors
/// When the file cannot be written.
pub fn save_trace(path: &Path, records: &[Record]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for record in records {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Writes the plan of a failure into a directory.
#[must_use]
pub fn keep_plan(directory: &Path, plan: &Plan) -> Place {
    let path = directory.join(file_name("plan", plan, "json"));
    let written = std::fs::create_dir_all(directory).and_then(|()| save_plan(&path, plan));
    Place::of(path, written)
}

/// Writes the trace of a failure into a directory. Where the run has not kept it, the plan is run once more.
#[must_use]
pub fn keep_trace(directory: &Path, plan: &Plan, outcome: &Outcome) -> Place {
    let again = outcome.records.is_empty().then(|| world::run(plan, true));
    let kept = again.as_ref().unwrap_or(outcome);
    if kept.trace_hash != outcome.trace_hash {
        return Place::Nowhere(format!("run once more, it had the hash {}", kept.trace_hash));
    }
    let path = directory.join(file_name("trace", plan, "jsonl"));
    let written = std::fs::create_dir_all(directory).and_then(|()| save_trace(&path, &kept.records));
    Place::of(path, written)
}

fn file_name(what: &str, plan: &Plan, ending: &str) -> String {
    let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
    format!("{what}-{}-{preset}-{topology}.{ending}", plan.seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Preset, Topology, generate};

    #[test]
    fn what_is_kept_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("failures");
        let plan = generate(3, Preset::Storm, Topology::Embedded, 20);
        let outcome = world::run(&plan, false);
        let Place::File(path) = keep_plan(&below, &plan) else { panic!("not written") };
        assert!(path.ends_with("plan-3-storm-embedded.json"));
        assert_eq!(load_plan(&path).unwrap(), plan);
        let Place::File(path) = keep_trace(&below, &plan, &outcome) else { panic!("not written") };
        let lines = std::fs::read_to_string(path).unwrap();
        assert_eq!(lines.lines().count() as u64, outcome.steps);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let place = keep_plan(&file, &generate(3, Preset::Calm, Topology::Embedded, 20));
        assert!(place.to_string().starts_with("not kept (cannot write "), "{place}");
    }
}
