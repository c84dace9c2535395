//! The list of runs, and the page of one.

use crate::served::until;
use crate::site::Site;

const JOBS: &str = r#"
[jobs.quick]
schedule = "@manual"
command  = "true"

[jobs.fails]
schedule = "@manual"
command  = "echo '<b>no</b>'; exit 3"

[jobs.often]
every   = "1s"
command = "sleep 60"
lock    = { ttl = "2s" }
kill_after = "1s"
"#;

fn rows(page: &str) -> usize {
    page.matches("<tr id=\"r-").count()
}

#[test]
fn runs_are_listed_in_parts_and_narrowed_down() {
    let site = Site::new("[jobs.quick]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    for _ in 0..53 {
        site.run("quick", "succeeded");
    }
    let first = site.page("/runs");
    assert_eq!(rows(&first), 50);
    let link = |page: &str, rel: &str| {
        let before = page.split(&format!("rel=\"{rel}\" href=\"")).nth(1);
        before.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
    };
    assert_eq!(link(&first, "prev"), None);
    let second = site.page(&link(&first, "next").unwrap());
    assert_eq!((rows(&second), link(&second, "next")), (3, None));
    assert_eq!(link(&second, "prev").as_deref(), Some("/runs"));
    assert_eq!(rows(&site.page("/runs?q=trigger:manual+since:24h&state=succeeded&job=quick")), 50);
    assert!(site.page("/runs?q=state:failed").contains("No run is like that"));
    assert!(site.page("/runs?q=on:elsewhere").contains("No run is like that"));
    let wrong = site.page("/runs?q=stat:failed+%3Cb%3E:1");
    assert!(wrong.contains("did you mean state:failed?") && wrong.contains("&lt;b&gt;:1"), "{wrong}");
    assert_eq!(site.ask("/runs?colour=red").status, 422);
}

#[test]
fn a_run_tells_how_it_went_and_what_was_passed_over_leads_to_why() {
    let site = Site::new(JOBS);
    let before = site.run("fails", "failed");
    let run = site.run("fails", "failed");
    let page = site.page(&format!("/runs/{run}"));
    for word in
        ["exit code", "Attempt 1", "by <code>", "rel=\"prev\"", "/retry?back=", "No run after it", "role=\"img\""]
    {
        assert!(page.contains(word), "{word} is not in {page}");
    }
    assert!(page.contains(&format!("href=\"/runs/{before}\"")) && !page.contains("/cancel?back="));
    assert!(site.page(&format!("/runs/{before}")).contains("rel=\"next\""));
    // A part of an id leads to the run of today, not to a page that is another tomorrow.
    let part = site.ask(&format!("/runs/{}", &run[24..]));
    assert_eq!((part.status, part.header("location")), (303, Some(format!("/runs/{run}").as_str())));
    until(|| site.page("/runs?job=often").contains("Why it did not run"), || "nothing was passed over".into());
    let page = site.page("/runs?q=state:running");
    let id = page.split("<tr id=\"r-").nth(1).unwrap().split('"').next().unwrap();
    let page = site.page(&format!("/runs/{id}"));
    assert!(page.contains("/cancel?back=") && page.contains("It has printed nothing yet."), "{page}");
}
