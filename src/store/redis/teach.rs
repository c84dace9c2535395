//! Gives back to a server what it lost: see redo.lua for what it does with it.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use super::batch::Request;
use super::history::list;
use super::known::Header;
use super::lane::Lane;
use super::link::Script;
use super::server::{GENTLE, META, RECORDS, REDONE, RESTORED, Server};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::store::{Repair, Repaired, Replica, StoreError};

/// Bytes sent at once: leases are renewed on the same connection.
const BYTES: usize = 256 * 1024;

/// Records asked about at once.
const MANY: usize = 1000;

/// Between two looks whether the gate is open.
const LOOK: Duration = Duration::from_millis(40);

/// Whoever reported in this time before the last write was there.
const LATELY: Duration = Duration::from_secs(15);

/// Teaches until the gate of `header` is open, or another is closed. It ends with that, or with the process.
pub(super) fn begin(lane: Arc<Lane>, header: Header) {
    let teaching: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(teach(lane, header));
    tokio::spawn(teaching);
}

async fn teach(lane: Arc<Lane>, header: Header) {
    let server = &lane.server;
    server.heard.forget();
    server.known.repair.send_modify(|repair| repair.closed = true);
    let mut taught = false;
    loop {
        if !taught {
            taught = server.give_back(&header).await.is_ok();
        } else if let Err(error) = server.hurry(&header).await {
            tracing::debug!(%error, "could not ask for an early end");
        }
        // The answer says how it stands, and has the server put back what it was given.
        let _ = lane.ask(Request::glance()).await;
        if !server.known.is_teaching(&header.gate()) {
            return;
        }
        sleep(LOOK).await;
    }
}

impl Server {
    async fn tell(&self, header: &Header, kind: &str, args: Vec<Vec<u8>>) -> Result<Value, StoreError> {
        let scripts = GENTLE.map(|head| Script::new(format!("{head}{}", include_str!("teach.lua"))));
        let keys = [RECORDS, META, REDONE, RESTORED].map(|key| self.keys[key].clone());
        let mut all = vec![header.gate().to_string().into_bytes(), kind.into()];
        all.extend(args);
        self.link.run(self.link.fitting(&scripts).await?, &keys, &all).await
    }

    /// Sends what the server may lack: calls after its last, and records that are newer.
    async fn give_back(&self, header: &Header) -> Result<(), StoreError> {
        let mut args = Vec::new();
        let mut size = 0;
        for (position, page) in self.known.pages(header.position) {
            size += page.len();
            args.extend([position.to_string().into_bytes(), page]);
            if size >= BYTES {
                self.tell(header, "pages", std::mem::take(&mut args)).await?;
                size = 0;
            }
        }
        self.tell(header, "pages", args).await?;
        let records = self.known.records();
        let all: Vec<(&JobName, u64)> = records.iter().map(|(job, (revision, _))| (job, *revision)).collect();
        for some in all.chunks(MANY) {
            let args = some.iter().flat_map(|(job, revision)| [job.as_str().into(), revision.to_string().into_bytes()]);
            let wanted = list(self.tell(header, "which", args.collect()).await?);
            for job in wanted.iter().filter_map(|name| JobName::new(&super::text(name)?).ok()) {
                let Some((revision, record)) = records.get(&job) else { continue };
                let args = vec![job.as_str().into(), revision.to_string().into_bytes(), record.to_vec()];
                self.tell(header, "records", args).await?;
            }
        }
        Ok(())
    }

    /// Says that this process has given back what it knows; when all have who were there, the gate opens at once.
    async fn hurry(&self, header: &Header) -> Result<(), StoreError> {
        let (born, position) = self.known.data();
        let past = if born == header.born { String::new() } else { born };
        let args = [self.name(), position.to_string(), past].map(String::into_bytes);
        let Value::BulkString(last) = self.tell(header, "done", args.to_vec()).await? else { return Ok(()) };
        let Some(last) = super::text(&last).and_then(|last| last.parse().ok()) else { return Ok(()) };
        let all = list(self.ask("HVALS", &self.replicas(), &[]).await?);
        let all: BTreeSet<String> = all
            .iter()
            .filter_map(|json| serde_json::from_slice::<Replica>(json).ok())
            .filter(|replica| Timestamp::from_micros(last).since(replica.last_seen_at) < LATELY)
            .map(|replica| replica.boot_id)
            .collect();
        if !all.is_empty() {
            self.tell(header, "open", all.into_iter().map(String::into_bytes).collect()).await?;
        }
        Ok(())
    }

    /// What came of the gate that was open again with `header`.
    pub(super) async fn report(&self, header: &Header) {
        let fields = ["closed", "pages", "records", "unknown", "by"].map(|name| name.as_bytes().to_vec());
        let found = self.ask("HMGET", &self.keys[META], &fields).await.map(list).unwrap_or_default();
        let number = |at: usize| found.get(at).and_then(|text| super::text(text)?.parse::<i64>().ok()).unwrap_or(0);
        let count = |at: usize| number(at).unsigned_abs();
        let repaired = Repaired {
            at: Timestamp::from_micros(number(0)),
            calls: count(1),
            records: count(2),
            unknown: count(3),
            replicas: count(4),
        };
        self.known.repair.send_modify(|repair| {
            *repair = Repair { closed: false, epoch: header.epoch, last: Some(repaired) };
        });
    }
}
