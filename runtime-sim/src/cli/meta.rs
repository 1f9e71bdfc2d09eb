//! `meta`: a seed is run twice in this process and once in another, and all three leave the same trace.
//!
//! Owns the line that does it again for one seed, which reports of failures show.

use std::io::{self, Write};
use std::process::{Command, ExitCode};

use super::{NONDETERMINISM, Scene, run_arguments};
use crate::{report, world};

/// What runs it for one seed.
pub(super) fn command(seed: u64, scene: Scene) -> String {
    format!("cargo sim meta --seeds {seed}..{seed}{}", scene.arguments())
}

/// INV-13: the same seed gives the same trace, in one process and in two.
pub(super) fn meta(out: &mut impl Write, (first, last): (u64, u64), scene: Scene) -> io::Result<ExitCode> {
    for seed in first..=last {
        let plan = scene.plan(seed);
        let (one, two) = (world::run(&plan, false), world::run(&plan, true));
        let arguments = run_arguments(&plan);
        let child = Command::new(std::env::current_exe()?).args(arguments.split_whitespace()).output()?;
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        let other = text.lines().find_map(|line| line.strip_prefix("trace hash")).map(|hash| hash.trim().to_owned());
        if one.trace_hash != two.trace_hash || other.as_ref() != Some(&one.trace_hash) {
            writeln!(out, "seed {seed}: INV-13 does not hold")?;
            writeln!(out, "this process   {} and {}", one.trace_hash, two.trace_hash)?;
            writeln!(out, "another        {}", other.unwrap_or_else(|| "no hash".to_owned()))?;
            writeln!(out, "commit         {}", report::COMMIT)?;
            writeln!(out, "REPRODUCE: {}", command(seed, scene))?;
            return Ok(ExitCode::from(NONDETERMINISM));
        }
        writeln!(out, "seed {seed}  {}  {} steps, three times the same", one.trace_hash, one.steps)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::super::COMMANDS;
    use super::*;
    use crate::plan::{Preset, Topology};

    #[test]
    fn the_line_of_meta_says_all_that_is_not_the_default() {
        let scene = Scene { preset: Preset::Default, topology: Topology::Production, commands: COMMANDS };
        assert_eq!(command(7, scene), "cargo sim meta --seeds 7..7");
        let scene = Scene { preset: Preset::Storm, topology: Topology::Embedded, commands: 30 };
        let line = command(7, scene);
        assert_eq!(line, "cargo sim meta --seeds 7..7 --preset storm --topology embedded --commands 30");
    }
}
