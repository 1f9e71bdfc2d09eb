//! The layering of the workspace, read from cargo: who may depend on whom.
//!
//! Keeps the core pure and the two runtimes apart (INV-13 rests on it): what the core can reach is a closed list of
//! data crates; the simulator reaches no database or broker client, whose clocks and sockets would leak into a
//! simulated world; the production binary never links madsim, which overrides libc's clock and randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Crates that hold and convert data, and do nothing by themselves.
const DATA_CRATES: [&str; 9] =
    ["foldhash", "indexmap", "itoa", "rust_decimal", "serde", "serde_json", "smallvec", "thiserror", "uuid"];

/// What those bring along, compile-time helpers included.
const BROUGHT_ALONG: [&str; 11] = [
    "arrayvec",
    "equivalent",
    "hashbrown",
    "memchr",
    "num-traits",
    "proc-macro2",
    "quote",
    "serde_core",
    "serde_derive",
    "syn",
    "unicode-ident",
];

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata describes the workspace")
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata.workspace_packages().into_iter().find(|package| package.name == name).expect("a workspace package")
}

/// Names of the packages that a package declares in `[dependencies]`.
fn declared(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    package(metadata, name)
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .collect()
}

/// Names of all packages that a build of `name` alone links, its own included: features are those it asks for itself,
/// not those that a neighbour in the workspace switches on.
fn linked(name: &str) -> BTreeSet<String> {
    let output = Command::new(cargo())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["tree", "--offline", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let names: BTreeSet<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.contains(name), "cargo tree lists {name} itself");
    names
}

fn assert_none(names: &BTreeSet<String>, banned: &[&str], of: &str) {
    let found: Vec<&str> = banned.iter().copied().filter(|name| names.contains(*name)).collect();
    assert!(found.is_empty(), "{of} reaches {found:?}");
}

#[test]
fn the_core_declares_data_crates_only() {
    let metadata = metadata();
    let allowed: BTreeSet<String> = DATA_CRATES.into_iter().map(str::to_owned).collect();
    let foreign: Vec<String> = declared(&metadata, "wallex-core").difference(&allowed).cloned().collect();
    assert!(foreign.is_empty(), "wallex-core depends on {foreign:?}, which is not on the list of data crates");
}

#[test]
fn the_core_links_nothing_that_is_not_on_the_list() {
    let allowed: BTreeSet<String> = DATA_CRATES
        .into_iter()
        .chain(BROUGHT_ALONG)
        .chain(["wallex-core", "thiserror-impl", "zmij", "ryu"])
        .map(str::to_owned)
        .collect();
    let foreign: Vec<String> = linked("wallex-core").difference(&allowed).cloned().collect();
    assert!(foreign.is_empty(), "wallex-core links {foreign:?}");
}

#[test]
fn the_core_asks_for_no_random_or_clocked_ids() {
    let metadata = metadata();
    let uuid = package(&metadata, "wallex-core")
        .dependencies
        .iter()
        .find(|dependency| dependency.name == "uuid")
        .expect("the core has ids");
    let features: Vec<&String> =
        uuid.features.iter().filter(|name| !matches!(name.as_str(), "std" | "serde")).collect();
    assert!(features.is_empty() && !uuid.uses_default_features, "uuid in the core has the features {features:?}");
}

#[test]
fn the_journal_depends_on_the_core_and_data_crates() {
    let metadata = metadata();
    let allowed: BTreeSet<String> =
        DATA_CRATES.into_iter().chain(["wallex-core", "crc32c"]).map(str::to_owned).collect();
    let foreign: Vec<String> = declared(&metadata, "wallex-journal").difference(&allowed).cloned().collect();
    assert!(foreign.is_empty(), "wallex-journal depends on {foreign:?}");
}

#[test]
fn the_runtimes_depend_on_the_core_and_never_on_each_other() {
    let metadata = metadata();
    for (runtime, other) in [("wallex", "wallex-sim"), ("wallex-sim", "wallex")] {
        assert!(declared(&metadata, runtime).contains("wallex-core"), "{runtime} runs the core");
        assert_none(&linked(runtime), &[other], runtime);
    }
}

#[test]
fn the_simulator_reaches_no_database_server_or_broker_client() {
    let banned = ["axum", "hyper", "libsqlite3-sys", "rdkafka", "rdkafka-sys", "redis", "sqlx", "sqlx-core", "tonic"];
    assert_none(&linked("wallex-sim"), &banned, "wallex-sim");
}

#[test]
fn the_production_binary_never_links_madsim() {
    let names = linked("wallex");
    let found: Vec<&String> = names.iter().filter(|name| name.starts_with("madsim")).collect();
    assert!(found.is_empty(), "wallex links {found:?}");
}

#[test]
fn workspace_packages_form_no_cycle_and_point_towards_the_core() {
    let metadata = metadata();
    let ranks = BTreeMap::from([
        ("wallex-core", 0),
        ("wallex-journal", 1),
        ("wallex-contracts", 1),
        ("wallex-recording", 1),
        ("wallex-kurrentdb", 2),
        ("wallex", 3),
        ("wallex-sim", 3),
        ("wallex-benches", 4),
        ("wallex-sim-tests", 4),
    ]);
    for package in metadata.workspace_packages() {
        let rank = ranks.get(package.name.as_str()).unwrap_or_else(|| panic!("{} has no place yet", package.name));
        for dependency in &package.dependencies {
            let below = ranks.get(dependency.name.as_str());
            assert!(below.is_none_or(|below| below < rank), "{} depends on {}", package.name, dependency.name);
        }
    }
}
