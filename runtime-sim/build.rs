//! Tells the simulator from which commit it was built, so that a failure says what failed.
//!
//! `WALLEX_COMMIT` names it where there is no repository, as in a build from an archive; else it is unknown.

use std::process::Command;

/// What a run depends on, seen from the root of the repository.
const SOURCES: [&str; 5] = ["core", "journal", "recording", "runtime-sim", "Cargo.lock"];

fn main() {
    println!("cargo:rerun-if-env-changed=WALLEX_COMMIT");
    for source in SOURCES {
        println!("cargo:rerun-if-changed=../{source}");
    }
    // Git appends a line there whenever another commit is checked out.
    if let Some(log) =
        git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| std::fs::exists(log).unwrap_or(false))
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let given = std::env::var("WALLEX_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let commit = given.or_else(commit).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=WALLEX_COMMIT={}", commit.trim());
}

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec!["-C", "..", "status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(SOURCES);
    let modified = git(&status).is_some_and(|changes| !changes.is_empty());
    Some(if modified { format!("{hash}, modified") } else { hash })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
