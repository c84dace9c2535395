//! `cronclave schema`: what a schedule file may say, for editors and for people.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, out};
use crate::config;

/// Print the JSON Schema of schedule files, for editors; --docs prints the reference page.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave schema > schedules/cronclave-1.schema.json   then begin each file beside it with
                                                         #:schema ./cronclave-1.schema.json
  cronclave schema --docs | less                         every key, its default and its meaning

Editors with a TOML plug-in (taplo, Even Better TOML, Tombi) then complete keys, show what they mean and point
at mistakes. `cronclave init` writes the schema as well.")]
pub(super) struct Schema {
    /// Print the reference page instead, in Markdown
    #[arg(long)]
    docs: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        out::print(if self.docs { config::reference() } else { config::schema_text() })?;
        Ok(ExitCode::SUCCESS)
    }
}
