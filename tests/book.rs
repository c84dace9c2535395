//! The book is true: its commands are run, and its table of contents has all pages.
//!
//! A page that is run is read from above. A block ```` ```LANGUAGE file=PATH ```` is written to that file. A block
//! ```` ```console run ```` is typed, line by line, into one shell in one fresh directory; what is said has to be what the
//! page says, but for what differs from run to run (`book/same.rs` has the list). What only looks (`cronclave history`,
//! `cat` and a few others) is asked again until it sees that, for a minute at most; what runs beside the shell (`&`) has as
//! long to say its part. At the end of the page all that it started is ended. `redis://localhost:6379` and
//! `amqp://localhost:5672` are servers of the test's own.
//!
//! Every other `cronclave …` in the documents has at least to be one that the program's own parser takes.
//!
//! What a page's commands really said is left in `target/tmp/book`, for whoever changes a page.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "book/page.rs"]
mod page;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "book/same.rs"]
mod same;
#[path = "common/servers.rs"]
mod servers;
#[path = "book/shell.rs"]
mod shell;
#[path = "book/words.rs"]
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use cronclave::cli::Cli;

use page::{Step, steps};
use rabbit::Rabbit;
use servers::Redis;
use shell::Shell;

/// What pages call the servers of a reader's machine.
const REDIS: &str = "redis://localhost:6379";
const AMQP: &str = "amqp://localhost:5672";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// Runs a page, up to the first thing that is not as it says.
fn run(page: &str) {
    let text = read(Path::new(page));
    let redis = text.contains(REDIS).then(Redis::plain);
    let rabbit = text.contains(AMQP).then(Rabbit::start);
    let mut servers: Vec<(&str, String)> = Vec::new();
    servers.extend(redis.iter().map(|redis| (REDIS, redis.url())));
    servers.extend(rabbit.iter().map(|rabbit| (AMQP, rabbit.url())));
    let mut shell = Shell::open();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book").join(page.replace('/', "-"));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut record = String::new();
    for step in steps(&text) {
        match step {
            Step::File { path, text: inside } => {
                assert!(text.contains(&format!("`{path}`")), "{page} does not tell its reader of {path}");
                shell.write(&path, &inside);
            }
            Step::Session { runs: false, .. } => {}
            Step::Session { typed, .. } => {
                for typed in typed {
                    let command =
                        servers.iter().fold(typed.command.clone(), |text, (theirs, ours)| text.replace(theirs, ours));
                    let (said, fits) = shell.ask(&command, &typed.said);
                    record += &format!("$ {}\n{said}", typed.command);
                    fs::write(&file, &record).unwrap();
                    let wanted = typed.said.join("\n");
                    assert!(fits, "{page}:{}: it says\n{wanted}\nbut this is said:\n{record}", typed.line);
                }
            }
        }
    }
    assert!(!record.is_empty(), "nothing in {page} is run");
}

#[test]
fn the_quick_start_is_as_it_says() {
    run("docs/QUICKSTART.md");
}

#[test]
fn the_tutorial_is_as_it_says() {
    run("docs/TUTORIAL.md");
}

#[test]
fn the_guides_of_migration_are_as_they_say() {
    for guide in ["crontab", "celery-beat", "sidekiq-cron", "quartz", "node-cron"] {
        run(&format!("docs/howto/from-{guide}.md"));
    }
}

#[test]
fn the_other_guides_are_as_they_say() {
    for guide in ["catch-up", "daylight-saving", "mutex", "retries-and-alerts", "secrets"] {
        run(&format!("docs/howto/{guide}.md"));
    }
}

#[test]
fn every_page_with_commands_to_run_is_run() {
    let runs = |step: &Step| matches!(step, Step::Session { runs: true, .. });
    let count = page::all(root()).iter().filter(|page| steps(&read(page)).iter().any(runs)).count();
    assert_eq!(count, 2 + 5 + 5, "the tests above name them");
}

/// The pages that a table of contents leads to.
fn led_to(summary: &str) -> Vec<PathBuf> {
    let links = summary.lines().filter_map(|line| line.split_once("](")?.1.strip_suffix(')'));
    links.map(|link| Path::new("docs").join(link)).collect()
}

#[test]
fn the_table_of_contents_has_every_page_once_and_nothing_else() {
    let mut listed = led_to(&read(Path::new("docs/SUMMARY.md")));
    let all = page::all(root())
        .into_iter()
        .filter(|page| !["README.md", "docs/SUMMARY.md"].iter().any(|name| page == Path::new(name)));
    listed.sort();
    assert_eq!(listed, all.collect::<Vec<_>>());
}

#[test]
fn the_page_of_codes_has_each_with_its_title() {
    let page = read(Path::new("docs/PROBLEMS.md"));
    for problem in page::all(root()).iter().filter(|page| page.starts_with("docs/problems")) {
        let text = read(problem);
        let (code, title) = text.lines().next().unwrap()[2..].split_once(": ").unwrap();
        let row = format!("| [{code}]({}) | {title} |", problem.strip_prefix("docs").unwrap().display());
        assert!(page.contains(&row), "docs/PROBLEMS.md lacks: {row}");
    }
}

/// What only names a command has to name one that there is.
fn named(mut words: Vec<String>) -> Vec<String> {
    if words.len() == 2 {
        words.push("--help".to_owned());
    }
    words
}

#[test]
fn every_command_of_the_documents_is_one_that_the_program_takes() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in page::all(root()) {
        let text = read(&page);
        let quoted = page::quoted(&text).into_iter().flat_map(words::ours);
        let mut commands: Vec<Vec<String>> = quoted.map(named).collect();
        for step in steps(&text) {
            if let Step::Session { typed, .. } = step {
                commands.extend(typed.iter().flat_map(|typed| words::ours(&typed.command)));
            }
        }
        for command in commands {
            count += 1;
            if let Err(error) = Cli::command().try_get_matches_from(&command)
                && error.use_stderr()
            {
                wrong.push(format!("{}: {}\n{error}", page.display(), command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count}");
}
