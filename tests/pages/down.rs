//! A store that is not there.

use super::served::{Served, TOKEN, directory, until};
use super::servers::Redis;

const JOBS: &str = "[jobs.tick]\nevery = \"1s\"\ncommand = \"true\"\n";

#[test]
fn a_store_that_was_never_there_is_explained_and_the_page_heals_once_it_is() {
    let mut redis = Redis::plain();
    let url = redis.url();
    redis.kill();
    let env = [("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_REDIS_URL", url.as_str())];
    let served = Served::start_unready(directory(JOBS), &env);
    let bearer = format!("Bearer {TOKEN}");
    let page = |path: &str| served.ask("GET", path, &[("Accept", "text/html"), ("Authorization", &bearer)], "");
    for path in ["/", "/jobs", "/jobs/tick", "/runs", "/timeline", "/cluster"] {
        let answer = page(path);
        assert_eq!((answer.status, answer.header("refresh")), (503, Some("5")), "{path}: {answer:?}");
        for words in ["The store does not answer", &url, "nothing listens there", "data-again"] {
            assert!(answer.body.contains(words), "{path}: {words}: {}", answer.body);
        }
    }
    assert_eq!(page("/explain?schedule=0+6+*+*+*").status, 200, "what needs no store is there");
    redis.start_again(&[]);
    until(|| page("/jobs").status == 200, || page("/jobs").body);
    until(|| page("/jobs").body.contains("succeeded"), || page("/jobs").body);
    // From now on something is known.
    redis.kill();
    until(|| page("/jobs").body.contains("This is what was known"), || page("/jobs").body);
    assert_eq!(page("/jobs").status, 200);
}
