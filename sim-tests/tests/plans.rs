//! Plans that once failed, pinned as data: none of them may fail again.
//!
//! A pinned seed loses its case when the making of plans changes; a pinned plan does not. Each lies in `plans/` as
//! `cargo sim shrink` wrote it. One that is named after a deliberate bug fails with that bug (see the test `mutants`).

use std::path::{Path, PathBuf};

use wallex_sim::kept::load_plan;
use wallex_sim::world::{Ending, run};

fn plans() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let files = std::fs::read_dir(directory).expect("the plans lie there").filter_map(|entry| Some(entry.ok()?.path()));
    let mut plans: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    plans.sort();
    plans
}

#[test]
fn no_pinned_plan_fails_again() {
    let plans = plans();
    assert!(!plans.is_empty(), "there are no plans");
    for path in plans {
        let plan =
            load_plan(&path).unwrap_or_else(|error| panic!("{error}: shrink the seed again, or write the field"));
        let outcome = run(&plan, false);
        let seen = (outcome.panic.as_ref(), outcome.violation());
        assert_eq!(outcome.ending(), Ending::Passed, "{}: {seen:?}", path.display());
        assert!(outcome.tally.attempts > 0, "{}: nobody asks for anything", path.display());
    }
}
