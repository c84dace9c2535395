//! The dashboard: what its pages tell whom, and what its forms let through.

use super::access::{VIEWER, replica};
use super::served::{Answer, Served, TOKEN};

const HTML: (&str, &str) = ("Accept", "text/html");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Every page that shows something, and every form that does something.
const PAGES: &[&str] = &[
    "/",
    "/jobs",
    "/jobs/tick",
    "/jobs/tick/why",
    "/jobs/tick/run",
    "/jobs/tick/pause",
    "/jobs/tick/backfill",
    "/runs",
    "/runs/tick",
    "/runs/tick/log",
    "/runs/tick/cancel",
    "/runs/tick/retry",
    "/timeline",
    "/cluster",
    "/explain",
    "/locks/release",
    "/changes",
];
const FORMS: &[&str] = &[
    "/jobs",
    "/jobs/tick/run",
    "/jobs/tick/pause",
    "/jobs/tick/resume",
    "/jobs/tick/backfill",
    "/runs/tick/cancel",
    "/runs/tick/retry",
    "/locks/release",
];

/// Signs in with the form, as a browser does.
fn cookie(served: &Served, token: &str) -> String {
    let answer = served.ask("POST", "/signin", &[HTML, FORM], &format!("token={token}&back=/jobs"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs")), "{answer:?}");
    answer.cookie()
}

/// Beyond what was asked for itself.
fn says_nothing(answer: &Answer, path: &str) {
    let body = answer.body.replace(path, "");
    for word in ["tick", "tock", "web.seven", "<nav"] {
        assert!(!body.contains(word), "{word}: {answer:?}");
    }
}

#[test]
fn whoever_is_not_signed_in_gets_a_page_to_sign_in_and_learns_nothing() {
    let served = replica();
    for path in PAGES {
        let answer = served.ask("GET", path, &[HTML], "");
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.body.contains("name=\"token\"") && answer.header("www-authenticate").is_none(), "{answer:?}");
        says_nothing(&answer, path);
    }
    for path in FORMS {
        let answer = served.ask("POST", path, &[HTML, FORM], "job=tick&act=pause");
        assert_eq!(answer.status, 401, "{path}");
        says_nothing(&answer, path);
    }
    assert_eq!(served.get("/signin").status, 200);
    let nowhere = served.ask("GET", "/nowhere", &[HTML], "");
    assert_eq!(nowhere.status, 404);
    says_nothing(&nowhere, "/nowhere");
    let wrong = served.ask("POST", "/signin", &[HTML, FORM], "token=a-guess-at-a-token-1234&back=/jobs");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(wrong.body.contains("no such token") && !wrong.body.contains("a-guess-at"), "{wrong:?}");
}

#[test]
fn a_viewer_sees_every_page_and_changes_nothing() {
    let served = replica();
    let own = cookie(&served, VIEWER);
    let as_viewer = [HTML, ("Cookie", own.as_str())];
    for path in ["/", "/jobs", "/jobs/tick", "/runs", "/timeline", "/cluster", "/explain", "/jobs/tick/pause"] {
        let page = served.ask("GET", path, &as_viewer, "");
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let offers =
            ["/run?back=", "/pause?back=", "/cancel?back=", "formaction"].iter().any(|word| page.body.contains(word));
        assert!(!offers, "{path} offers what a viewer may not do");
    }
    for path in FORMS {
        let refused = served.ask("POST", path, &[HTML, FORM, ("Cookie", &own)], "job=tick&act=pause");
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
        assert!(refused.body.contains("operator"), "{refused:?}");
    }
    assert!(served.get_as(TOKEN, "/api/v1/jobs/tick").body.contains("\"state\":\"active\""));
    let settings = served.ask("POST", "/settings", &[HTML, FORM, ("Cookie", &own)], "theme=dark&back=/runs");
    assert_eq!((settings.status, settings.header("location")), (303, Some("/runs")), "it is only theirs");
}

#[test]
fn a_form_of_another_site_is_refused_and_no_form_leads_away() {
    let served = replica();
    let own = cookie(&served, TOKEN);
    let post = |site: &[(&str, &str)], path: &str, body: &str| {
        served.ask("POST", path, &[&[HTML, FORM, ("Cookie", own.as_str())], site].concat(), body)
    };
    for site in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example"), ("Origin", "null")] {
        for path in FORMS.iter().chain(&["/signin", "/signout", "/settings"]) {
            let refused = post(&[site], path, "job=tick&act=pause&token=x");
            assert_eq!((refused.status, refused.header("set-cookie")), (403, None), "{site:?} {path}");
            says_nothing(&refused, path);
        }
    }
    let same = [("Sec-Fetch-Site", "same-origin")];
    for away in ["//evil.example", "https://evil.example", "/%5Cevil.example", "/%0d%0aX-Evil:%201"] {
        let done = post(&same, "/jobs/tick/pause", &format!("reason=x&back={away}"));
        assert_eq!((done.status, done.header("location"), done.header("x-evil")), (303, Some("/"), None), "{away}");
        let done = post(&same, "/settings", &format!("theme=dark&zone=x%0d%0aX-Evil:%201&back={away}"));
        assert_eq!((done.header("location"), done.header("x-evil")), (Some("/"), None), "{away}");
        let page = served.ask("GET", &format!("/jobs/tick/pause?back={away}"), &[HTML, ("Cookie", &own)], "");
        assert!(!["href=\"", "value=\""].iter().any(|lead| page.body.contains(&format!("{lead}{away}"))), "{away}");
    }
}

#[test]
fn a_page_lets_nothing_in_that_is_not_ours_and_is_not_framed() {
    let served = replica();
    let own = cookie(&served, TOKEN);
    for path in ["/", "/jobs", "/jobs/tick", "/runs", "/timeline", "/cluster", "/explain", "/signin", "/nowhere"] {
        let page = served.ask("GET", path, &[HTML, ("Cookie", &own)], "");
        let policy = page.header("content-security-policy").unwrap();
        for word in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for inline in ["<script>", " style=\"", " onclick=", "javascript:", "http://", "https://"] {
            assert!(!page.body.contains(inline), "{path} has {inline}");
        }
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn what_a_forged_cookie_says_was_done_is_not_believed() {
    let served = replica();
    let own = cookie(&served, TOKEN);
    let forged = |json: &str| {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
        served.ask("GET", "/jobs", &[HTML, ("Cookie", &format!("{own}; cronclave_said={value}"))], "")
    };
    let page = forged(r#"{"paused":{"jobs":["<script>alert(1)</script>"]}}"#);
    assert!(page.status == 200 && !page.body.contains("alert(1)"), "no job has that name");
    for broken in ["", "{", "[]", r#"{"anything":{}}"#, "\u{0}"] {
        assert_eq!(forged(broken).status, 200);
    }
    let page = served.ask(
        "GET",
        "/jobs",
        &[HTML, ("Cookie", &format!("{own}; cronclave_tz=../../etc/passwd; cronclave_theme=\"><script>"))],
        "",
    );
    assert!(page.status == 200 && !page.body.contains("passwd") && !page.body.contains("<script>"));
}

#[test]
fn what_is_done_with_a_form_is_on_record_with_who_and_why() {
    let served = replica();
    let own = cookie(&served, TOKEN);
    let form = [HTML, FORM, ("Cookie", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(served.ask("POST", "/jobs/tick/pause", &form, "reason=the+database+moves&back=/jobs").status, 303);
    let audit = served.get_as(TOKEN, "/api/v1/audit").json();
    let entry = audit["items"].as_array().unwrap().iter().find(|entry| entry["path"] == "/jobs/tick/pause").unwrap();
    assert_eq!(entry["reason"], "the database moves", "{entry}");
    assert_eq!(entry["how"], "cookie", "{entry}");
    assert!(audit["items"].as_array().unwrap().iter().any(|entry| entry["path"] == "/signin"), "{audit}");
}

#[test]
fn what_is_done_with_several_is_done_with_all_or_none_and_refusals_are_counted() {
    let served = replica();
    let own = cookie(&served, TOKEN);
    let form = [HTML, FORM, ("Cookie", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    let refused = served.ask("POST", "/jobs", &form, "act=pause&job=tick&job=tock");
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(served.get_as(TOKEN, "/api/v1/jobs/tick").body.contains("\"state\":\"active\""));
    let paused = served.ask("POST", "/jobs", &form, "act=pause&job=tick&reason=quiet");
    assert_eq!(paused.status, 303);
    let started = served.ask("POST", "/jobs", &form, "act=run&job=tick&key=one");
    let said = served.ask("GET", "/jobs", &[HTML, ("Cookie", &format!("{own}; {}", started.cookie()))], "");
    assert!(said.body.contains("0 runs asked for; 1 run refused"), "{}", said.body);
}
