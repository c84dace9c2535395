//! What runs print, on their pages.

use std::fs;

use crate::served::until;
use crate::site::Site;

/// Everything that somebody might print to do harm, or just prints.
fn hostile() -> Vec<u8> {
    let mut all = Vec::new();
    for line in [
        "<script>alert('x')</script> & \"more\"".as_bytes(),
        b"\x1b[1;31mred\x1b[0m and \x1b[44mon blue\x1b[m",
        b"\x1b]0;title\x07 \x1b[2Jcleared",
        "right \u{202e}to left".as_bytes(),
        "\u{1f980} \u{634}\u{643}\u{631}".as_bytes(),
        b"10 %\r55 %\r100 %",
        b"windows\r",
        b"no \xff\xfe text",
        b"",
        b"\x1b[32mgreen goes on",
        b"here\x1b[0m",
    ] {
        all.extend_from_slice(line);
        all.push(b'\n');
    }
    all.extend("x".repeat(10_000).bytes());
    all.extend(b"\nno newline at the end");
    all
}

#[test]
fn whatever_is_printed_is_shown_as_text_and_downloaded_byte_by_byte() {
    let site = Site::new("[jobs.odd]\nschedule = \"@manual\"\ncommand = \"cat odd.txt\"\n");
    fs::write(site.served.path().join("odd.txt"), hostile()).unwrap();
    let run = site.run("odd", "succeeded");
    let (part, lines) = site.part(&run, "");
    assert_eq!((&part["total"], &part["settled"], &part["over"]), (&13.into(), &13.into(), &true.into()), "{part}");
    assert_eq!(lines[0], "&lt;script&gt;alert('x')&lt;/script&gt; &amp; &quot;more&quot;");
    assert_eq!(lines[1], "<span class=\"f2 ab\">red</span> and <span class=\"g5\">on blue</span>");
    assert_eq!(lines[2..5], [" cleared", "right \u{202e}to left", "\u{1f980} \u{634}\u{643}\u{631}"]);
    assert_eq!(lines[5..9], ["100 %", "windows", "no \u{fffd}\u{fffd} text", ""]);
    assert_eq!(lines[9..11], ["<span class=\"f3\">green goes on</span>", "<span class=\"f3\">here</span>"]);
    assert!(lines[11].contains(&format!("log?line=12\">… {} more bytes</a>", 10_000 - 4_000)), "{}", lines[11]);
    assert_eq!(lines[12], "no newline at the end");
    assert_eq!(site.bytes(&format!("/runs/{run}/log?line=12")), ["x".repeat(10_000).as_bytes(), b"\n"].concat());
    assert_eq!(site.bytes(&format!("/runs/{run}/log.txt")), hostile());
    let (_, some) = site.part(&run, "from=6&count=2");
    assert_eq!(some, lines[5..7], "a part of it is the same");
    let page = site.page(&format!("/runs/{run}"));
    assert!(page.contains("&lt;script&gt;alert('x')") && !page.contains("<script>alert"));
    assert!(page.contains("id=\"L13\""), "the whole log is there without a script");
}

const STREAMS: &str = r#"
[jobs.both]
schedule = "@manual"
command  = "printf 'out %s\n' 1 2 3; sleep 0.1; printf 'err %s\n' 1 2 >&2; exit 3"
retry    = { attempts = 2, initial = "10ms" }
"#;

#[test]
fn attempts_and_streams_are_told_apart_and_lines_keep_their_numbers() {
    let site = Site::new(STREAMS);
    let run = site.run("both", "failed");
    let (part, lines) = site.part(&run, "");
    let one = ["out 1", "out 2", "out 3", "err 1", "err 2"];
    assert_eq!(lines, [one, one].concat());
    assert_eq!(part["attempts"], serde_json::json!([1, 2]));
    let html = part["html"].as_str().unwrap();
    assert_eq!(html.matches("<div class=\"la\">").count(), 2);
    let (part, lines) = site.part(&run, "stream=stderr&attempt=2");
    assert_eq!((lines, &part["total"]), (vec!["err 1".to_owned(), "err 2".to_owned()], &2.into()));
    let html = part["html"].as_str().unwrap();
    assert!(html.contains("id=\"L9\"") && html.contains("title=\"stderr\""), "{html}");
    assert_eq!(site.json(&format!("/runs/{run}/log?find=ERR%202"))["found"], serde_json::json!([[5, 10], 2]));
    let found = site.json(&format!("/runs/{run}/log?find=2&stream=stdout"))["found"].clone();
    assert_eq!(found, serde_json::json!([[2, 5], 2]), "places among those selected");
    let page = site.page(&format!("/runs/{run}?find=out+3&stream=&attempt="));
    assert!(page.contains("2 lines with") && page.contains("id=\"L8\"") && !page.contains("id=\"L9\""));
    assert_eq!(site.ask(&format!("/runs/{run}?stream=stdin")).status, 422);
}

const GROWS: &str = r#"
[jobs.grows]
schedule = "@manual"
command  = "printf 'one\ntwo\nthr'; until test -e go; do sleep 0.05; done; printf 'ee\nfour\n'; until test -e end; do sleep 0.05; done"
"#;

#[test]
fn a_log_grows_while_its_lines_keep_their_numbers() {
    let site = Site::new(GROWS);
    let run = site.trigger("grows");
    let lines = |count: usize| {
        let mut seen = Vec::new();
        until(
            || {
                seen = site.part(&run, "").1;
                seen.len() == count
            },
            || format!("never {count} lines"),
        );
        seen
    };
    assert_eq!(lines(3), ["one", "two", "thr"]);
    let (part, _) = site.part(&run, "");
    assert_eq!((&part["over"], &part["settled"]), (&false.into(), &2.into()), "the last line may still change");
    let known = format!("known={}", part["bytes"]);
    assert!(site.part(&run, &known).0["html"].is_null(), "nothing is told anew");
    let edition = part["edition"].clone();
    fs::write(site.served.path().join("go"), "").unwrap();
    assert_eq!(lines(4), ["one", "two", "three", "four"]);
    fs::write(site.served.path().join("end"), "").unwrap();
    site.wait(&run, "succeeded");
    until(|| site.part(&run, "").0["over"] == true, || "never over".into());
    let (part, lines) = site.part(&run, "from=3");
    assert_eq!((lines.as_slice(), &part["edition"]), (&["three".to_owned(), "four".into()][..], &edition));
}

#[test]
fn what_was_cut_is_said_where_it_was() {
    let cut = "[jobs.cut]\nschedule = \"@manual\"\ncommand = \"seq 1 20000\"\nlog_limit = \"32KiB\"\n";
    let site = Site::new(cut);
    let run = site.run("cut", "succeeded");
    let (part, lines) = site.part(&run, "count=2000");
    let total = part["total"].as_u64().unwrap() as usize;
    let (_, rest) = site.part(&run, &format!("count=2000&from={}", total - 1000));
    assert_eq!((lines[0].as_str(), rest.last().unwrap().as_str()), ("1", "20000"));
    let note = site.json(&format!("/runs/{run}/log?find=bytes+cut"))["found"][0][0].as_u64().unwrap();
    let (part, lines) = site.part(&run, &format!("from={note}&count=1"));
    let html = part["html"].as_str().unwrap();
    assert!(html.contains("class=\"ln cut\"") && lines[0].contains("bytes were cut here"), "{html}");
    let whole = String::from_utf8(site.bytes(&format!("/runs/{run}/log.txt"))).unwrap();
    assert!(whole.contains("\n[cronclave: ") && whole.ends_with("\n20000\n"));
}

#[test]
fn without_a_script_a_long_log_is_read_in_parts() {
    let site = Site::new("[jobs.long]\nschedule = \"@manual\"\ncommand = \"seq 1 1200\"\n");
    let run = site.run("long", "succeeded");
    let page = site.page(&format!("/runs/{run}"));
    assert!(page.contains("id=\"L701\"") && page.contains("id=\"L1200\"") && !page.contains("id=\"L700\""));
    assert!(page.contains("701 to 1200 of 1200") && page.contains(&format!("/runs/{run}?from=201#log")), "{page}");
    let page = site.page(&format!("/runs/{run}?from=201"));
    assert!(page.contains("id=\"L201\"") && page.contains("id=\"L700\"") && !page.contains("id=\"L701\""));
    assert!(page.contains("?from=1#log") && page.contains("?from=701#log"));
    let (part, lines) = site.part(&run, "from=5000");
    assert_eq!((lines.len(), &part["total"]), (0, &1200.into()));
}

#[test]
fn a_run_without_output_says_how_output_is_kept() {
    let site = Site::new("[jobs.silent]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    let run = site.run("silent", "succeeded");
    let page = site.page(&format!("/runs/{run}"));
    assert!(page.contains("It printed nothing.") && page.contains("log_limit"));
    assert_eq!(site.ask("/runs/00000000-0000-7000-8000-000000000000/log").status, 404);
    assert_eq!(site.ask(&format!("/runs/{run}/log?line=1")).status, 404);
}
