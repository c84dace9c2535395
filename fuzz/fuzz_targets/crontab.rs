//! Any text as a crontab: what is printed loads, and every entry is in it or told.
#![no_main]

use cronclave::clock::Timestamp;
use cronclave::config::{self, SourceText};
use cronclave::crontab::{self, MachineZone, Target};
use cronclave::schedule::Zone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &str)| {
    let (system, text) = input;
    let tab = crontab::read(text, system);
    let zone = MachineZone { zone: Zone::utc(), origin: "fuzz".into() };
    let now = Timestamp::from_secs(1_795_305_600);
    let written = crontab::write(&tab, &Target { source: "fuzz", zone: &zone, user: Some("root"), now });
    assert_eq!(tab.entries.len() + tab.left_out.len(), written.jobs + written.left_out.len());
    let source = SourceText { name: "imported.toml".into(), text: written.text.as_str().into() };
    match config::load(&[source], &|_| None, now) {
        Ok(config) => assert_eq!(config.jobs.len(), written.jobs),
        Err(wrong) => panic!("{}\n{}", config::report(&wrong, false), written.text),
    }
});
