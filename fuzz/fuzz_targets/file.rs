//! Any text as a schedule file: jobs, or mistakes whose places are inside it and can be shown.
#![no_main]

use cronclave::clock::Timestamp;
use cronclave::config::{self, SourceText};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The files that `[secrets]` and `env_file` name are not what is tested, and /dev/zero has no end.
    if text.contains("file") || text.contains("\\u") || text.contains("\\U") || text.contains("\\x") {
        return;
    }
    let now = Timestamp::from_secs(1_795_305_600);
    let source = SourceText { name: "fuzz.toml".into(), text: text.into() };
    match config::load(&[source], &|_| None, now) {
        Ok(config) => assert!(config.digest.len() == 8),
        Err(wrong) => {
            assert!(!wrong.is_empty());
            for one in &wrong {
                assert!(text.get(one.span.clone()).is_some(), "{one:?}");
            }
            config::report(&wrong, false);
        }
    }
});
