//! Shows a configuration: as a file with the source of each value, and as the reference table of all settings.

use std::fmt::Write as _;

use super::settings::{SETTINGS, Setting};
use super::value::Kind;
use super::{Config, Loaded};

impl Loaded {
    /// The effective configuration as a TOML file, with the source of each value beside it.
    #[must_use]
    pub fn print(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for (setting, source) in SETTINGS.iter().zip(&self.sources) {
            let (its_section, name) = setting.path.split_once('.').unwrap_or(("", setting.path));
            if its_section != section {
                section = its_section;
                let _ = writeln!(out, "\n[{section}]");
            }
            let line = format!("{name} = {}", toml_value(setting, &self.config));
            let _ = writeln!(out, "{line:<44} # {source}");
        }
        out
    }
}

/// All settings as a Markdown table: name, environment variable, default, meaning.
#[must_use]
pub fn reference() -> String {
    let defaults = Config::default();
    let mut out = "| setting | environment | default | meaning |\n|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let alias = setting.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let bounds = match setting.kind {
            Kind::Integer { min, max } => format!(" ({min} to {max})"),
            Kind::Text | Kind::Ratio | Kind::Boolean => String::new(),
        };
        let _ = writeln!(
            out,
            "| `{}` | `{}`{alias} | `{}` | {}{bounds} |",
            setting.path,
            setting.variable(),
            setting.value(&defaults),
            setting.doc.trim_end_matches('.'),
        );
    }
    out
}

fn toml_value(setting: &Setting, config: &Config) -> String {
    let text = setting.value(config);
    match setting.kind {
        Kind::Text => toml::Value::String(text).to_string(),
        Kind::Integer { .. } | Kind::Ratio | Kind::Boolean => text,
    }
}
