//! From what happened to spans.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::broker::{Exchange, Message};
use crate::clock::Timestamp;
use crate::job::{Job, Task};
use crate::lease::{Ended, Fence, Outcome, RunId};
use crate::ledger::State;
use crate::recall::Run;
use crate::request::TRACEPARENT;
use crate::trace;

/// Where a span belongs.
struct Place {
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
}

/// The end of an attempt, or of a run.
pub(super) struct Over<'a> {
    pub(super) job: &'a Job,
    pub(super) run_id: RunId,
    pub(super) attempt: u32,
    pub(super) fence: Fence,
    pub(super) ended: &'a Ended,
    pub(super) at: Timestamp,
}

impl Over<'_> {
    /// The attempt, if it is known when it began.
    pub(super) fn attempt(&self, run: &Run) -> Option<SpanData> {
        let (_, began) = run.started.filter(|(fence, _)| *fence == self.fence)?;
        let place = |parent| Place {
            trace: trace::trace(self.run_id).into(),
            span: trace::attempt(self.fence).into(),
            parent: SpanId::from(parent),
        };
        let mut span = match &self.job.task {
            // A worker takes one request at a time, so the one that made it is its parent as well as linked.
            Task::Queue(queue, _) => {
                let sending = trace::sending(self.fence);
                let mut span = blank(format!("process {queue}"), SpanKind::Consumer, &place(sending));
                let link = context(span.span_context.trace_id(), sending.into());
                span.links.links.push(Link::new(link, Vec::new(), 0));
                span.parent_span_is_remote = true;
                let operation = [("messaging.operation.type", "process"), ("messaging.operation.name", "process")];
                span.attributes.extend(operation.map(|(name, value)| KeyValue::new(name, value)));
                span.attributes.push(KeyValue::new("messaging.destination.name", queue.to_string()));
                span
            }
            Task::Run(_) | Task::Publish(_) => {
                blank(format!("attempt {}", self.job.name), SpanKind::Internal, &place(trace::root(self.run_id)))
            }
        };
        span.attributes.push(KeyValue::new("cronclave.attempt", i64::from(self.attempt)));
        span.attributes.push(KeyValue::new("cronclave.fencing_token", self.fence.0.cast_signed()));
        self.describe(&mut span);
        (span.start_time, span.end_time) = (wall(began), wall(self.at));
        Some(span)
    }

    /// The whole run, from its instant on.
    pub(super) fn run(&self, run: &Run) -> SpanData {
        let place = Place {
            trace: trace::trace(self.run_id).into(),
            span: trace::root(self.run_id).into(),
            parent: SpanId::INVALID,
        };
        let mut span = blank(format!("run {}", self.job.name), SpanKind::Internal, &place);
        let scheduled_at = run.scheduled_at.unwrap_or(self.at);
        let is_timer = run.trigger.is_none_or(|trigger| trigger == "schedule");
        span.attributes.extend([
            KeyValue::new("faas.trigger", if is_timer { "timer" } else { "other" }),
            KeyValue::new("faas.cron", self.job.schedule.text()),
            KeyValue::new("faas.time", scheduled_at.to_string()),
            KeyValue::new("cronclave.trigger", run.trigger.unwrap_or("unknown")),
        ]);
        self.describe(&mut span);
        (span.start_time, span.end_time) = (wall(scheduled_at.min(self.at)), wall(self.at));
        span
    }

    fn describe(&self, span: &mut SpanData) {
        let state = State::from(self.ended.outcome).word();
        span.attributes.extend([
            KeyValue::new("cronclave.job.name", self.job.name.to_string()),
            KeyValue::new("cronclave.run.id", self.run_id.to_string()),
            KeyValue::new("cronclave.state", state),
        ]);
        let code = self.ended.exit_code.map(|code| KeyValue::new("process.exit.code", i64::from(code)));
        span.attributes.extend(code);
        if self.ended.outcome != Outcome::Succeeded {
            span.status = Status::Error { description: Cow::Borrowed(state) };
        }
    }
}

/// A message of a run that was sent, or not, between two moments. `None` for any other message.
pub(super) fn sent(
    message: &Message,
    system: &'static str,
    times: [Timestamp; 2],
    failed: Option<&'static str>,
) -> Option<SpanData> {
    let mut parts = message.headers.get(TRACEPARENT)?.split('-').skip(1);
    let run_id: RunId = message.correlation_id.as_ref()?.parse().ok()?;
    let (trace, span) = (TraceId::from_hex(parts.next()?).ok()?, SpanId::from_hex(parts.next()?).ok()?);
    let parent = match message.to {
        Exchange::Tasks => SpanId::from(trace::root(run_id)),
        _ => SpanId::from(trace::sender(u64::from_be_bytes(span.to_bytes()))),
    };
    let place = Place { trace, span, parent };
    let mut made = blank(format!("send {}", message.to.name()), SpanKind::Producer, &place);
    let destination = format!("{}:{}", message.to.name(), message.key);
    made.attributes.extend([
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.operation.type", "send"),
        KeyValue::new("messaging.operation.name", "send"),
        KeyValue::new("messaging.destination.name", destination),
        KeyValue::new("messaging.rabbitmq.destination.routing_key", message.key.clone()),
        KeyValue::new("messaging.message.id", message.id.clone()),
        KeyValue::new("messaging.message.conversation_id", run_id.to_string()),
        KeyValue::new("cronclave.run.id", run_id.to_string()),
    ]);
    if let Some(why) = failed {
        made.status = Status::Error { description: Cow::Borrowed(why) };
    }
    [made.start_time, made.end_time] = times.map(wall);
    Some(made)
}

fn blank(name: String, kind: SpanKind, place: &Place) -> SpanData {
    SpanData {
        span_context: context(place.trace, place.span),
        parent_span_id: place.parent,
        parent_span_is_remote: false,
        span_kind: kind,
        name: name.into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("cronclave")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
}

fn wall(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0))
}
