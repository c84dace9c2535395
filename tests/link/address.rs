//! What a `REDIS_URL` may say, and what is said about one that may not be so.

use cronclave::store::redis::Address;

#[track_caller]
fn masked(url: &str) -> String {
    url.parse::<Address>().unwrap_or_else(|why| panic!("{url}: {why}")).masked()
}

#[test]
fn what_a_url_says_is_shown_without_its_passwords() {
    for (url, shown) in [
        ("redis://cache", "redis://cache:6379"),
        ("redis://127.0.0.1:7000/", "redis://127.0.0.1:7000"),
        ("  redis://cache/0\n", "redis://cache:6379"),
        ("redis://:secret@cache:6380/2", "redis://cache:6380/2"),
        ("redis://ana:secret@cache", "redis://ana@cache:6379"),
        ("redis://ana:sec%2Fret%40%3f@cache", "redis://ana@cache:6379"),
        ("redis://ana:se@cret@cache", "redis://ana@cache:6379"),
        ("redis://[::1]:7000/3", "redis://[::1]:7000/3"),
        ("redis://[2001:db8::1]", "redis://[2001:db8::1]:6379"),
        ("redis://a:1,b:2,c/0", "redis://a:1,b:2,c:6379"),
        ("rediss://:secret@cache?insecure", "rediss://cache:6379?insecure"),
        ("rediss://:secret@cache/?insecure=true", "rediss://cache:6379?insecure"),
        ("rediss://cache?insecure=false", "rediss://cache:6379"),
        ("rediss://cache/1#insecure", "rediss://cache:6379/1?insecure"),
        ("valkey://cache", "redis://cache:6379"),
        ("REDIS://cache", "redis://cache:6379"),
        ("redis+sentinel://a,b:5000/mymaster", "redis+sentinel://a:26379,b:5000/mymaster"),
        ("rediss+sentinel://u:secret@a/prod/4", "rediss+sentinel://u@a:26379/prod/4"),
        ("redis+sentinel://a/m?sentinel_user=s&sentinel_password=secret", "redis+sentinel://a:26379/m"),
        ("redis+unix:///run/redis.sock?db=3&password=secret", "redis+unix:///run/redis.sock?db=3"),
        ("unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
    ] {
        assert_eq!(masked(url), shown, "{url}");
        let address: Address = url.parse().unwrap();
        assert!(!format!("{address:?}").contains("secret"), "{address:?}");
        let again: Address = shown.parse().unwrap();
        assert_eq!(again.masked(), shown);
    }
}

#[test]
fn what_is_wrong_with_a_url_is_told_with_a_way_out() {
    for (url, words) in [
        ("cache:6379", &["no URL", "redis://"][..]),
        ("", &["no URL"]),
        ("://cache", &["leads to no Redis"]),
        ("rdis://cache", &["`rdis://`", "`redis://`"]),
        ("http://cache", &["`http://`", "redis://", "redis+sentinel://"]),
        ("redis-sentinel://cache/m", &["`redis+sentinel://`"]),
        ("redis://", &["a host is missing"]),
        ("redis:///0", &["a host is missing"]),
        ("redis://:6379", &["a host is missing"]),
        ("redis://:secret@", &["a host is missing"]),
        ("redis://a,,b", &["a host is missing"]),
        ("redis://cache:port", &["`port` is not a port", "65535"]),
        ("redis://cache:70000", &["`70000`"]),
        ("redis://cache:0", &["`0`"]),
        ("redis://::1", &["IPv6"]),
        ("redis://a b", &["`a b` is not a host"]),
        ("redis://cache/zero", &["`zero` is not a database"]),
        ("redis://cache/-1", &["`-1` is not a database"]),
        ("redis://cache/0/1", &["`/1`"]),
        ("redis://cache?insecur", &["`?insecur`", "`insecure`"]),
        ("rediss://cache?ssl_cert_reqs=none", &["`?ssl_cert_reqs`", "`?insecure`"]),
        ("rediss://cache?timeout=3", &["`?timeout`", "insecure"]),
        ("redis://cache?insecure", &["means nothing without TLS", "rediss://"]),
        ("redis://cache#tls", &["`#tls`"]),
        ("redis+sentinel://a,b", &["name of the master", "mymaster"]),
        ("redis+sentinel://a/m?sentinel_pasword=x", &["`sentinel_password`"]),
        ("redis+unix://", &["path of the socket"]),
        ("redis+unix://run/redis.sock", &["path of the socket", "redis+unix:///"]),
        ("redis://%ff@cache", &["not UTF-8"]),
    ] {
        let why = url.parse::<Address>().expect_err(url);
        println!("{url:45} {why}");
        for word in words {
            assert!(why.contains(word), "{url}: no {word:?} in {why:?}");
        }
    }
}

#[test]
fn a_password_that_spills_over_is_not_shown_in_the_error() {
    for url in [
        "redis://:ab/sesame@cache:6379",
        "redis://ana:ab?sesame@cache",
        "redis://ana:ab#sesame@cache",
        "redis://ana:12/sesame@cache",
        "redis://:/sesame@cache/0",
    ] {
        let why = url.parse::<Address>().expect_err(url);
        assert!(why.contains("%2F") && !why.contains("sesame") && !why.contains("ab"), "{why}");
    }
}
