//! Within another program: its router has the listener, and a path of its own before ours.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::http::Extensions;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use super::access::Peer;
use super::asked::Base;

/// The same routes, which find out by themselves below which path they are. What the routers before them noted for
/// handlers of their own stays there.
pub(super) fn of(routes: Router) -> BoxCloneSyncService<Request, Response, Infallible> {
    BoxCloneSyncService::new(service_fn(move |mut request: Request| {
        let noted = std::mem::take(request.extensions_mut());
        let base = base(&noted, request.uri().path());
        request.extensions_mut().insert(Base(base));
        if let Some(peer) = peer(&noted) {
            request.extensions_mut().insert(peer);
        }
        routes.clone().oneshot(request)
    }))
}

/// What the other routers took off: `/cron` of `/cron/jobs`.
fn base(noted: &Extensions, own: &str) -> String {
    let Some(OriginalUri(whole)) = noted.get::<OriginalUri>() else { return String::new() };
    let base = whole.path().strip_suffix(own).or_else(|| (own == "/").then_some(whole.path()));
    base.unwrap_or_default().trim_end_matches('/').to_owned()
}

/// The other end of the connection, where the program has axum note that.
fn peer(noted: &Extensions) -> Option<Peer> {
    noted.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| Peer(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_what_stood_before_our_own_path() {
        let of = |whole: &'static str, own| {
            let mut noted = Extensions::new();
            noted.insert(OriginalUri(whole.parse().unwrap()));
            base(&noted, own)
        };
        assert_eq!(of("/cron/jobs/a?x=1", "/jobs/a"), "/cron");
        assert_eq!(of("/cron", "/"), "/cron");
        assert_eq!(of("/cron/", "/"), "/cron");
        assert_eq!(of("/a/b/", "/"), "/a/b");
        assert_eq!(of("/jobs", "/jobs"), "");
        assert_eq!(of("/", "/"), "");
        assert_eq!(base(&Extensions::new(), "/jobs"), "");
    }
}
