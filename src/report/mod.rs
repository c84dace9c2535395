//! Tells an operator, line by line, what happens in this process.

mod line;
mod logfmt;
mod mask;
mod trace;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::clock::Clock;
use crate::config::{LogFormat, LogOutput};
use crate::event::{ToMeter, Told};
use crate::measure::Measure;
use crate::recall::Recall;
use line::Line;

pub use trace::trace;

/// Who reports, and how.
#[derive(Debug)]
pub struct Reporter {
    /// How lines are written.
    pub format: LogFormat,
    /// What becomes of what jobs print.
    pub output: LogOutput,
    /// Stands in each line for machines.
    pub replica: String,
    /// Stands in each line for machines.
    pub cluster: String,
    /// Dates lines about things that have no time of their own.
    pub clock: Clock,
    /// What was told of runs before.
    pub recall: Mutex<Recall>,
}

impl Reporter {
    /// Writes to standard output what is told, until there is nobody left to tell it.
    pub async fn report(self, mut told: Receiver<Arc<Told>>, meter: ToMeter) {
        loop {
            match told.recv().await {
                Ok(told) => self.print(&told),
                Err(RecvError::Lagged(count)) => {
                    meter.measure(&Measure::Dropped { sink: "log", count });
                    self.print(&Told::Warning(format!("{count} lines were left out here: they came too fast")));
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Writes one line.
    pub fn print(&self, told: &Told) {
        if let Some(text) = self.line(told) {
            write(&text);
        }
    }

    /// Writes that the process began, for machines.
    pub fn began(&self, event: &str, fields: Value) {
        let Value::Object(fields) = fields else { return };
        let line = Map::from_iter([
            ("ts".to_owned(), self.clock.now().to_string().into()),
            ("level".to_owned(), "info".into()),
            ("event".to_owned(), event.into()),
            ("msg".to_owned(), "started".into()),
        ]);
        write(&self.for_machines(line, fields));
    }

    /// The line about it, without its end; `None` for what is not worth one.
    pub fn line(&self, told: &Told) -> Option<String> {
        let run = self.recall.lock().unwrap_or_else(PoisonError::into_inner).take(told);
        if let Told::Line { text, .. } = told {
            match self.output {
                LogOutput::Off => return None,
                LogOutput::Raw => return Some(text.clone()),
                LogOutput::Lines => {}
            }
        }
        let line = Line::of(told, run.as_ref(), self.clock.now())?;
        if self.format == LogFormat::Text {
            return Some(line.text());
        }
        let head = Map::from_iter([
            ("ts".to_owned(), line.at.to_string().into()),
            ("level".to_owned(), line.level.into()),
            ("event".to_owned(), line.event.clone().into()),
            ("msg".to_owned(), line.message().into()),
        ]);
        Some(self.for_machines(head, line.fields))
    }

    fn for_machines(&self, mut all: Map<String, Value>, fields: Map<String, Value>) -> String {
        all.extend(fields);
        all.insert("replica".into(), self.replica.clone().into());
        all.insert("cluster".into(), self.cluster.clone().into());
        match self.format {
            LogFormat::Logfmt => logfmt::line(&all),
            LogFormat::Json | LogFormat::Text => Value::Object(all).to_string(),
        }
    }
}

fn write(text: &str) {
    // A reader that went away must not end the scheduler.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
