//! A wish to run a job. It is data from outside: it chooses among jobs that allow it, and becomes
//! arguments, never code.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::body::Body;
use super::{Fate, Inbox};
use crate::broker::Message;
use crate::job::JobName;
use crate::lease::{RunId, Trigger};
use crate::record::{Op, Reply};
use crate::store::StoreError;

/// Arguments at most.
const ARGS: usize = 64;

/// Bytes of all arguments together at most.
const ARGS_SIZE: usize = 16 * 1024;

/// The longest name of an argument, and the longest identity of a wish, in bytes.
const NAME: usize = 255;

/// The longest reason that is kept, in characters.
const WORDS: usize = 500;

struct Wish {
    job: JobName,
    id: String,
    reason: Option<String>,
    args: BTreeMap<String, String>,
}

impl Wish {
    fn read(message: &Message) -> Result<Wish, String> {
        // trigger.CLUSTER.JOB
        let words: Vec<&str> = message.key.split('.').collect();
        let ["trigger", _, .., job] = words.as_slice() else {
            return Err("its routing key is not `trigger.CLUSTER.JOB`".into());
        };
        let body = Body::read(&message.body)?;
        let own = Some(message.id.clone()).filter(|id| !id.is_empty());
        let id = match own {
            Some(id) => id,
            None => body.id()?.filter(|id| !id.is_empty()).ok_or(
                "it has no identity, so that a copy could not be told from a second wish: \
                 set the AMQP property message_id, or `id` in its body",
            )?,
        };
        if id.len() > NAME {
            return Err(format!("its identity is longer than {NAME} bytes"));
        }
        Ok(Wish {
            job: JobName::new(job).map_err(|error| error.to_string())?,
            id,
            reason: body.text("reason")?.map(|text| text.chars().take(WORDS).collect()),
            args: body.object("args")?.map(arguments).transpose()?.unwrap_or_default(),
        })
    }
}

/// Names and plain values, as text.
fn arguments(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    if given.len() > ARGS {
        return Err(format!("it has {} arguments: at most {ARGS} are taken", given.len()));
    }
    let mut args = BTreeMap::new();
    for (name, value) in given {
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > NAME || !name.chars().all(good) {
            let name: String = name.chars().take(40).collect();
            return Err(format!("`{name}` cannot name an argument: use letters, digits, `_`, `-` and `.`"));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(format!("the argument `{name}` is neither text, number, true nor false")),
        };
        if text.contains('\0') {
            return Err(format!("the argument `{name}` holds a zero byte, which no program can be given"));
        }
        args.insert(name.clone(), text);
    }
    let size: usize = args.iter().map(|(name, text)| name.len() + text.len()).sum();
    if size > ARGS_SIZE {
        return Err(format!("its arguments have {size} bytes: at most {ARGS_SIZE} are taken"));
    }
    Ok(args)
}

impl Inbox {
    /// Asks the cluster for the run, as `cronclave trigger` does.
    pub(super) async fn wish(&self, message: &Message) -> Result<Fate, StoreError> {
        let Wish { job: name, id, reason, args } = match Wish::read(message) {
            Ok(wish) => wish,
            Err(why) => return Ok(Fate::Dead(why)),
        };
        let Some(job) = self.jobs.borrow().by_name.get(&name).cloned() else {
            return Ok(Fate::Dead(format!("there is no job `{name}` here")));
        };
        if !job.message_trigger {
            let why = format!("job `{name}` may not be triggered by messages: `message_trigger = true` allows it");
            return Ok(Fate::Dead(why));
        }
        let trigger = Op::Trigger {
            run_id: RunId::of_request(&name, &id),
            at: None,
            trigger: Trigger::Manual { by: Some(format!("message {id}")), reason },
            args,
            overlap: job.overlap,
            expect: None,
            on_record: false,
        };
        Ok(match self.ask(&job, &trigger).await?.reply {
            Reply::Busy(run) => {
                let run = run.run_id.short();
                Fate::Dropped(format!("run {run} is still open, and `overlap` has room for no other"))
            }
            Reply::Paused(_) => Fate::Dropped("the job is paused".into()),
            Reply::Full => Fate::Dropped("as many runs wait as may".into()),
            _ => Fate::Done,
        })
    }
}
