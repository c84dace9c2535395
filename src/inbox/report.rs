//! How a foreign worker fared: it may know neither store nor token, so the claim is settled for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::body::Body;
use super::{Fate, Inbox, limited};
use crate::broker::Message;
use crate::event::{About, Told};
use crate::job::{Job, JobName};
use crate::lease::{Ended, Fence, Outcome, RunId, Token};
use crate::plan::{self, View};
use crate::race;
use crate::record::{Key, Op, Open, Phase, Reply};
use crate::store::{Answer, StoreError};

/// Between two looks at a record that is behind what was reported.
const BEHIND: Duration = Duration::from_millis(200);

/// After so many looks the report is wrong, not the record behind.
const LOOKS: usize = 10;

/// The longest message of a worker that is kept, in characters.
const WORDS: usize = 2000;

/// What a worker says of one attempt.
struct Report {
    job: JobName,
    run_id: RunId,
    fence: Fence,
    /// `None`: it has begun.
    ended: Option<Ended>,
    worker: String,
}

impl Report {
    fn read(message: &Message) -> Result<Report, String> {
        let body = Body::read(&message.body)?;
        // result.CLUSTER.JOB.OUTCOME
        let words: Vec<&str> = message.key.split('.').collect();
        let in_key = |from_end: usize| (words.len() >= 4).then(|| words[words.len() - from_end].to_owned());
        let missing = |name: &str| format!("it lacks `{name}`");
        let job = body.text("job")?.or_else(|| in_key(2)).ok_or_else(|| missing("job"))?;
        let run_id = body.text("run_id")?.ok_or_else(|| missing("run_id"))?;
        let outcome = body.text("outcome")?.or_else(|| in_key(1)).ok_or_else(|| missing("outcome"))?;
        let said = body.text("message")?.map(|text| text.chars().take(WORDS).collect::<String>());
        let exit_code = body.number("exit_code")?;
        let worker = body.text("worker")?.map(|name| name.chars().take(100).collect());
        Ok(Report {
            job: JobName::new(&job).map_err(|error| error.to_string())?,
            run_id: run_id.parse().map_err(|_| format!("`run_id` is `{run_id}`, which is no id of a run"))?,
            fence: Fence(body.number("fencing_token")?.ok_or_else(|| missing("fencing_token"))?),
            ended: match outcome.as_str() {
                "started" => None,
                "succeeded" => Some(Ended { exit_code, message: said, ..Ended::succeeded() }),
                "failed" => {
                    let said = said.unwrap_or_else(|| "its worker reported a failure".into());
                    Some(Ended { exit_code, ..Ended::because(Outcome::Failed, said) })
                }
                other => {
                    return Err(format!("its outcome is `{other}`: write `started`, `succeeded` or `failed`"));
                }
            },
            worker: worker.unwrap_or_else(|| "foreign worker".into()),
        })
    }

    fn key(&self, token: Token) -> Key {
        Key { run_id: self.run_id, fence: self.fence, token }
    }

    /// The token of the run if it is one for foreign workers: who knows a run's id and fence from its events must not
    /// end what our own do.
    fn token(&self) -> Token {
        Token::of_result(self.run_id, self.fence)
    }
}

impl Inbox {
    /// Puts what a worker reports into the record, if the run is still its business.
    pub(super) async fn report(&self, message: &Message) -> Result<Fate, StoreError> {
        let report = match Report::read(message) {
            Ok(report) => report,
            Err(why) => return Ok(Fate::Dead(why)),
        };
        let Some(job) = self.jobs.borrow().by_name.get(&report.job).cloned() else {
            return Ok(Fate::Dead(format!("there is no job `{}` here", report.job)));
        };
        let Some((view, run)) = self.find(&job, &report).await? else {
            return Ok(Fate::Dropped(format!(
                "it is a copy, or outdated: no run {} is going under the fencing token {}",
                report.run_id, report.fence
            )));
        };
        self.parts.bus.tell(Told::About(About::open(&run)));
        let key = match run.phase {
            Phase::Running if run.token.as_ref() == Some(&report.token()) => report.key(report.token()),
            Phase::Running => return Ok(Fate::Dropped("its run is going in a process of ours".into())),
            _ => {
                let key = report.key(report.token());
                let start = Op::Start { key: key.clone(), holder: report.worker.clone(), ttl: job.timeout };
                match self.ask(&job, &start).await?.reply {
                    Reply::Kept { .. } => key,
                    Reply::Cancelled => return Ok(Fate::Dropped("its run was cancelled before it began".into())),
                    _ => return Ok(Fate::Dropped("its run went on to somebody else meanwhile".into())),
                }
            }
        };
        let Some(ended) = report.ended else { return Ok(Fate::Done) };
        let next = plan::retry(&job, &race::work(&job, &run, &view), &ended, self.parts.dice.roll());
        match self.ask(&job, &Op::Settle { key, ended, next }).await?.reply {
            Reply::Done => Ok(Fate::Done),
            _ => Ok(Fate::Dropped("its run went on to somebody else meanwhile".into())),
        }
    }

    /// The run as it waits for this report. What is known here may be behind what a quick worker knows: its request
    /// is on its way before the record says so.
    async fn find(&self, job: &Arc<Job>, report: &Report) -> Result<Option<(View, Open)>, StoreError> {
        for _ in 0..LOOKS {
            let view = limited(self.parts.store.view(&job.name, job.mutex.as_deref())).await?;
            let is_behind = view.record.fence < report.fence;
            let found = view.record.run(report.run_id).filter(|run| run.fence == report.fence).cloned();
            match found {
                Some(run) if matches!(run.phase, Phase::Published | Phase::Running) => return Ok(Some((view, run))),
                Some(run) if run.phase == Phase::Claimed => {}
                None if is_behind => {}
                _ => return Ok(None),
            }
            sleep(BEHIND).await;
        }
        Ok(None)
    }

    /// Asks once; tells what changed.
    pub(super) async fn ask(&self, job: &Job, op: &Op) -> Result<Answer, StoreError> {
        let answer = limited(self.parts.store.apply(&job.name, op)).await?;
        self.parts.bus.tell_all(answer.events.clone());
        Ok(answer)
    }
}
