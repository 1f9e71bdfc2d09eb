//! Turns the lines that `scripts/bench.sh` collected into a table, a chart and JSON.
//!
//!     report RESULTS.jsonl --out DIR [--load-before LOAD] [--criterion DIR] [--publish DOCS]
//!
//! Prints the table. `--publish` also writes `performance.json` and `performance.svg` into the documentation and puts
//! the tables between the marks in its `PERFORMANCE.md`; parts that were not measured this time stay as they are.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use wallex_benches::process;
use wallex_benches::report::{Document, MachineRate, chart, table};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
/// Benches of the command machine, and the size of their batch.
const MACHINES: [(&str, f64); 9] = [
    ("transfer_spread/1", 1.0),
    ("transfer_spread/64", 64.0),
    ("transfer_spread/1000", 1_000.0),
    ("transfer_hot/1", 1.0),
    ("transfer_hot/64", 64.0),
    ("transfer_hot/1000", 1_000.0),
    ("transfer_keyed/1", 1.0),
    ("transfer_keyed/64", 64.0),
    ("transfer_keyed/1000", 1_000.0),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let results = words.next().ok_or("usage: report RESULTS.jsonl --out DIR …")?;
    let (mut out, mut load, mut criterion, mut publish) = (PathBuf::from("."), None, None, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--out" => out = value.into(),
            "--load-before" => load = Some(value),
            "--criterion" => criterion = Some(PathBuf::from(value)),
            "--publish" => publish = Some(PathBuf::from(value)),
            unknown => return Err(format!("unknown argument {unknown}").into()),
        }
    }
    let mut document = Document::read(&fs::read_to_string(results)?)?;
    let busy = load.map_or_else(String::new, |load| format!(", load average before the run {load}"));
    document.machine = process::machine() + &busy;
    document.machines = criterion.map(|dir| machines(&dir)).unwrap_or_default();
    println!("{}", table::render(&document));
    fs::create_dir_all(&out)?;
    write(&document, &out)?;
    println!("written: {0}/performance.json, {0}/performance.svg", out.display());
    if let Some(docs) = publish {
        let earlier = docs.join("performance.json");
        if earlier.exists() {
            document = document.or_else(serde_json::from_str(&fs::read_to_string(&earlier)?)?);
        }
        write(&document, &docs)?;
        publish_tables(&document, &docs.join("PERFORMANCE.md"))?;
        println!("published in {}", docs.display());
    }
    Ok(())
}

fn write(document: &Document, dir: &Path) -> Result<(), Box<dyn Error>> {
    fs::write(dir.join("performance.json"), serde_json::to_string_pretty(document)? + "\n")?;
    // Drawn from the comparison alone; without one there is nothing to draw.
    if !document.connections("spread").is_empty() {
        fs::write(dir.join("performance.svg"), chart::draw(document)?)?;
    }
    Ok(())
}

fn publish_tables(document: &Document, page: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(page)?;
    let missing = || format!("{} has no {BEGIN} … {END}", page.display());
    let begin = text.find(BEGIN).ok_or_else(missing)? + BEGIN.len();
    let end = text.find(END).filter(|end| *end >= begin).ok_or_else(missing)?;
    let tables = table::render(document);
    fs::write(page, format!("{}\n\n{}\n{}", &text[..begin], tables.trim(), &text[end..]))?;
    Ok(())
}

/// What the criterion benches of the command machine said last, as far as they were run.
fn machines(dir: &Path) -> Vec<MachineRate> {
    let rate = |(bench, batch): (&str, f64)| {
        let estimates = dir.join("command_machine").join(bench.replace('/', "_")).join("new/estimates.json");
        let estimates: serde_json::Value = serde_json::from_str(&fs::read_to_string(estimates).ok()?).ok()?;
        let nanos = estimates["mean"]["point_estimate"].as_f64()?;
        Some(MachineRate { bench: bench.to_owned(), per_second: batch * 1e9 / nanos })
    };
    MACHINES.into_iter().filter_map(rate).collect()
}
