//! What one caller may take: so many requests, so large, within such a time.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use futures_util::StreamExt;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::access::{Caller, How};
use super::problem::{Code, Problem};

/// The largest body of a request.
const MOST: usize = 256 * 1024;

/// Within which a body must have come.
const BODY: Duration = Duration::from_secs(10);

/// Within which an answer must have begun.
const ANSWER: Duration = Duration::from_secs(30);

/// Wrong tokens in a burst, and the time until one more is looked at.
const TRIES: NonZeroU32 = NonZeroU32::new(10).unwrap();
const TRY: Duration = Duration::from_secs(6);

/// Between two times that callers who went away are forgotten, in requests.
const SWEEP: usize = 4096;

/// Who shares an allowance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Share {
    name: Option<String>,
    net: IpAddr,
}

impl Share {
    /// Whoever has an address of IPv6 has a whole net of them.
    fn of(name: Option<String>, address: IpAddr) -> Share {
        let net = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(six) => Ipv6Addr::from(u128::from(six) & (u128::MAX << 64)).into(),
        };
        Share { name, net }
    }
}

/// How often callers ask.
pub(super) struct Rates {
    requests: Option<DefaultKeyedRateLimiter<Share>>,
    tries: DefaultKeyedRateLimiter<Share>,
    asked: AtomicUsize,
}

impl Rates {
    /// So many requests a second, twice as many in a burst; 0: any number.
    pub(super) fn new(a_second: usize) -> Rates {
        let number = |count: usize| NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let quota =
            |count| Some(Quota::with_period(Duration::from_secs(1) / count)?.allow_burst(number(2 * count as usize)?));
        let requests = number(a_second).and_then(|count| quota(count.get()));
        #[allow(clippy::expect_used, reason = "the period is not zero")]
        let tries = Quota::with_period(TRY).expect("a period that is not zero").allow_burst(TRIES);
        Rates {
            requests: requests.map(DefaultKeyedRateLimiter::keyed),
            tries: DefaultKeyedRateLimiter::keyed(tries),
            asked: AtomicUsize::new(0),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) fn may_ask(&self, caller: &Caller) -> Result<(), Problem> {
        let Some(requests) = &self.requests else { return Ok(()) };
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            requests.retain_recent();
            self.tries.retain_recent();
        }
        let name = (![How::Open, How::Public].contains(&caller.how)).then(|| caller.name.clone());
        check(requests, Share::of(name, caller.address), "too many requests from here")
    }

    /// Counts somebody who is not let in, or is about to show whether they should be.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) fn may_try(&self, address: IpAddr) -> Result<(), Problem> {
        check(&self.tries, Share::of(None, address), "too many tries to sign in from here")
    }
}

fn check(rates: &DefaultKeyedRateLimiter<Share>, share: Share, why: &str) -> Result<(), Problem> {
    rates.check_key(&share).map_err(|until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        Problem::new(Code::TooManyRequests, why).again_after(wait.max(Duration::from_secs(1)))
    })
}

/// Streams that may go on at once, of whatever.
#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Semaphore>);

/// One of them, for as long as this lives.
#[derive(Debug)]
pub(super) struct Seat(OwnedSemaphorePermit);

impl Seat {
    /// Holds it for as long as a stream goes on.
    pub(super) fn hold<S: Stream>(self, stream: S) -> impl Stream<Item = S::Item> {
        stream.map(move |item| {
            let _ = &self.0;
            item
        })
    }
}

impl Seats {
    /// So many.
    pub(super) fn new(most: usize) -> Seats {
        Seats(Arc::new(Semaphore::new(most)))
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn take(&self) -> Result<Seat, Problem> {
        let taken = self.0.clone().try_acquire_owned();
        taken.map(Seat).map_err(|_| Problem::busy("as many listen here as may; ask another replica"))
    }
}

/// Why a change is made, if its body says so; for the audit.
#[derive(Debug, Clone)]
pub(super) struct Reason(pub(super) String);

/// Takes in the body of a change as a whole, if it is not too large and comes in time; sees that the answer does.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let (request, reason) = match changes {
        true => match taken_in(request).await {
            Ok((request, reason)) => (request, reason),
            Err(problem) => return problem.into_response(),
        },
        false => (request, None),
    };
    let answer = timeout(ANSWER, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        Problem::new(Code::TooLong, format!("there was no answer within {ANSWER:?}")).into_response()
    });
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

async fn taken_in(request: Request) -> Result<(Request, Option<Reason>), Problem> {
    let too_large = || Problem::new(Code::TooLarge, format!("a body may have {} KiB", MOST / 1024));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MOST as u64) {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let bytes = match timeout(BODY, to_bytes(body, MOST)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return Err(too_large()),
        Ok(Err(error)) => {
            return Err(Problem::new(Code::InvalidRequest, format!("the body did not come whole: {error}")));
        }
        Err(_) => return Err(Problem::new(Code::TooSlow, format!("the body did not come within {BODY:?}"))),
    };
    let reason = reason(&bytes);
    Ok((Request::from_parts(parts, Body::from(bytes)), reason))
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        if one.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = one.source();
    }
    false
}

/// The member `reason` of an object.
fn reason(body: &Bytes) -> Option<Reason> {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: Option<String>,
    }
    let said: Said = serde_json::from_slice(body).ok()?;
    Some(Reason(said.reason?.chars().take(1000).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_it_is_enough_for_one_address_only() {
        let rates = Rates::new(1);
        let caller = |address: &str| Caller {
            name: "ana".into(),
            role: crate::config::Role::Viewer,
            address: address.parse().unwrap(),
            how: How::Token,
        };
        let asked: Vec<bool> = (0..4).map(|_| rates.may_ask(&caller("192.0.2.1")).is_ok()).collect();
        assert_eq!(asked[..2], [true, true]);
        assert!(!asked[3], "{asked:?}");
        assert!(rates.may_ask(&caller("192.0.2.2")).is_ok());
        assert!(rates.may_ask(&caller("2001:db8::1")).is_ok() && rates.may_ask(&caller("2001:db8::2")).is_ok());
        assert!(rates.may_ask(&caller("2001:db8::3")).is_err(), "one net");
    }
}
