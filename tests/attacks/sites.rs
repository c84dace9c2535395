//! Pages of other sites, and names that were made to lead here.

use serde_json::json;

use super::TICK;
use super::served::{Served, TOKEN};

#[test]
fn a_page_of_another_site_neither_changes_anything_nor_signs_anybody_in() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let body = json!({"token": TOKEN}).to_string();
    let cookie = served.ask("POST", "/api/v1/session", &[("Sec-Fetch-Site", "same-origin")], &body).cookie();
    let path = "/api/v1/jobs/tick/pause";
    let change = |site: &[(&str, &str)]| {
        served.ask("PUT", path, &[&[("Cookie", cookie.as_str())], site].concat(), "{\"reason\":\"x\"}")
    };
    let own = format!("http://{}", served.address());
    for site in [
        [("Sec-Fetch-Site", "cross-site")].as_slice(),
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &own)],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "http://127.0.0.1:1")],
    ] {
        let refused = change(site);
        assert_eq!((refused.status, refused.code().as_str()), (403, "cross-site"), "{site:?}");
        let refused = served.ask("POST", "/api/v1/session", site, &body);
        assert_eq!((refused.status, refused.header("set-cookie")), (403, None), "{site:?}");
    }
    for site in
        [[("Sec-Fetch-Site", "same-origin")].as_slice(), &[("Sec-Fetch-Site", "none")], &[("Origin", &own)], &[]]
    {
        let done = change(site);
        assert_eq!(done.status / 100, 2, "{site:?}: {done:?}");
    }
    // A form can send no JSON, and a token is sent on purpose.
    let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie.as_str())];
    assert_eq!(served.ask("PUT", path, &form, "reason=x").code(), "unsupported-media-type");
    let text = [("Content-Type", "text/plain")];
    assert_eq!(served.ask("POST", "/api/v1/session", &text, &body).code(), "unsupported-media-type");
    let bearer = format!("Bearer {TOKEN}");
    let program = [("Authorization", bearer.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(served.ask("PUT", path, &program, "{\"reason\":\"x\"}").status / 100, 2);
}

#[test]
fn no_other_site_reads_answers_unless_it_is_named() {
    let served = Served::start(TICK, &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let asks = |served: &Served| {
        let headers = [("Origin", "https://dash.example"), ("Access-Control-Request-Method", "PUT")];
        served.ask("OPTIONS", "/api/v1/jobs/tick/pause", &headers, "")
    };
    let answer = asks(&served);
    assert!(!answer.head.to_lowercase().contains("access-control-"), "{answer:?}");
    let named = served.beside(&[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_CORS_ORIGINS", "https://dash.example")]);
    let answer = asks(&named);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://dash.example"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let other = named.ask("GET", "/api/v1/whoami", &[("Origin", "https://evil.example")], "");
    assert_eq!(other.header("access-control-allow-origin"), None, "{other:?}");
}

#[test]
fn a_name_that_was_made_to_lead_to_loopback_is_not_answered_for() {
    let served = Served::start(TICK, &[]);
    for host in ["evil.example", "evil.example:80", "127.0.0.1.nip.io", "localhost.evil.example", "192.0.2.1", ""] {
        let refused = served.ask("GET", "/api/v1/jobs", &[("Host", host)], "");
        assert_eq!((refused.status, refused.code().as_str()), (403, "unknown-host"), "{host}");
        assert!(!refused.body.contains("tick"));
    }
    let absolute = served.ask("GET", "http://evil.example/api/v1/jobs", &[("Host", "localhost")], "");
    assert_eq!(absolute.status, 403, "{absolute:?}");
    for host in ["localhost", "127.0.0.1:80", "[::1]:8080"] {
        assert_eq!(served.ask("GET", "/api/v1/jobs", &[("Host", host)], "").status, 200, "{host}");
    }
    assert_eq!(served.ask("GET", "/readyz", &[("Host", "evil.example")], "").status, 200, "health is open");
}
