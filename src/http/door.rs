//! Connections: so many at once, none that only sits there, and none that keeps the scheduler from its files.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::access::Peer;
use super::problem::Code;

/// Within which a new connection must have asked something.
const FIRST: Duration = Duration::from_secs(10);

/// Within which it must have asked again; longer than balancers keep theirs.
const NEXT: Duration = Duration::from_secs(75);

/// Within which it must have taken some of an answer.
const TAKEN: Duration = Duration::from_secs(30);

/// All headers of a request together.
const HEADERS: usize = 64 * 1024;

/// Open files that a process needs beside its connections and its runs, and those that a run needs.
const FILES: u64 = 128 + TOLD as u64;
const FILES_OF_A_RUN: u64 = 6;

/// Connections at once that are told that there is no place; more are just ended.
const TOLD: usize = 32;

/// Fewer connections than these are not worth serving.
const LEAST: usize = 16;

/// As many connections as were asked for, but not those files that the scheduler needs for its runs.
pub(super) fn room(asked: usize, max_parallel: usize) -> usize {
    let kept = FILES + FILES_OF_A_RUN * max_parallel as u64;
    let left = getrlimit(Resource::Nofile).current.map_or(u64::MAX, |all| all.saturating_sub(kept));
    asked.min(usize::try_from(left).unwrap_or(usize::MAX)).max(LEAST)
}

/// Who is in. Of those that ask nothing the one that has done so for longest goes when somebody new comes.
#[derive(Debug, Default)]
struct Inside {
    open: usize,
    /// Counts, so that the least number is the longest idle.
    next: u64,
    idle: BTreeMap<u64, CancellationToken>,
}

/// Lets in so many.
#[derive(Debug, Clone)]
struct Door {
    most: usize,
    inside: Arc<Mutex<Inside>>,
}

/// A connection that was let in, for as long as this lives.
struct Place {
    door: Door,
    state: Mutex<Asking>,
    leave: CancellationToken,
}

/// What a connection is at.
#[derive(Debug, Default)]
struct Asking {
    /// Under which number it is idle.
    idle: Option<u64>,
    /// Whether it has ever asked.
    ever: bool,
}

impl Door {
    /// A place, if there is one or somebody idle can go.
    fn enter(&self) -> Option<Arc<Place>> {
        let mut inside = self.inside();
        if inside.open >= self.most {
            let (_, longest) = inside.idle.pop_first()?;
            longest.cancel();
        }
        inside.open += 1;
        drop(inside);
        let place = Place { door: self.clone(), state: Mutex::default(), leave: CancellationToken::new() };
        place.idle();
        Some(Arc::new(place))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn state(&self) -> MutexGuard<'_, Asking> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It asks nothing.
    fn idle(&self) {
        let mut inside = self.door.inside();
        inside.next += 1;
        let number = inside.next;
        inside.idle.insert(number, self.leave.clone());
        self.state().idle = Some(number);
    }

    /// It asks something.
    fn busy(&self) {
        let mut inside = self.door.inside();
        let mut state = self.state();
        state.ever = true;
        if let Some(number) = state.idle.take() {
            inside.idle.remove(&number);
        }
    }

    fn has_asked(&self) -> bool {
        self.state().ever
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.open -= 1;
        if let Some(number) = self.state().idle.take() {
            inside.idle.remove(&number);
        }
    }
}

/// Answers by `routes` on at most so many connections at once, until `over`; then lets what is going end.
///
/// # Errors
/// When the listener fails.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    most: usize,
    over: CancellationToken,
) -> io::Result<()> {
    let door = Door { most, inside: Arc::default() };
    let told = Arc::new(Semaphore::new(TOLD));
    let mut going = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = going.join_next() => continue,
            () = over.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The other end went away, or there are no files left: neither is ours to end for.
                tracing::debug!(%error, "a connection was not accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Some(place) = door.enter() {
            going.spawn(connection(stream, peer, routes.clone(), place, over.clone()));
        } else if let Ok(permit) = told.clone().try_acquire_owned() {
            going.spawn(async move {
                turn_away(stream).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    while going.join_next().await.is_some() {}
    Ok(())
}

/// Says that there is no place, and why that is nobody's fault.
async fn turn_away(mut stream: TcpStream) {
    let body = json!({
        "type": "/problems/busy", "title": Code::Busy.title(), "status": 503, "instance": "", "code": "busy",
        "detail": "all connections are in use", "request_id": uuid::Uuid::now_v7(), "retry_after_seconds": 5,
    })
    .to_string();
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = timeout(Duration::from_secs(1), async {
        // An answer to what was not read may be lost on its way.
        let mut asked = [0; 4096];
        let _ = stream.read(&mut asked).await;
        stream.write_all(text.as_bytes()).await
    })
    .await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, routes: Router, place: Arc<Place>, over: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKEN));
    let answering = place.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        answering.busy();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let (routes, place) = (routes.clone(), answering.clone());
        async move {
            let response: Result<Response, Infallible> = routes.oneshot(request).await;
            // A stream is not idle for as long as it goes on.
            if response.as_ref().is_ok_and(|response| response.body().size_hint().exact().is_some()) {
                place.idle();
            }
            response
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(served);
    let (mut is_new, mut is_ending) = (true, false);
    let first = sleep(FIRST);
    tokio::pin!(first);
    loop {
        tokio::select! {
            _ = served.as_mut() => return,
            () = place.leave.cancelled() => return,
            () = first.as_mut(), if is_new => {
                is_new = false;
                if !place.has_asked() {
                    return;
                }
            }
            () = over.cancelled(), if !is_ending => {
                is_ending = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_sits_there_makes_room_and_whoever_asks_does_not() {
        let door = Door { most: 2, inside: Arc::default() };
        let (first, second) = (door.enter().unwrap(), door.enter().unwrap());
        first.busy();
        let third = door.enter().unwrap();
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        drop(second);
        third.busy();
        assert!(door.enter().is_none(), "all are busy");
        first.idle();
        assert!(door.enter().is_some() && first.leave.is_cancelled());
    }
}
