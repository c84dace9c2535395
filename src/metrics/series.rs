//! The one table of series: name, kind, labels, meaning.

/// What kind of series it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were how large. The upper edges of its buckets.
    Histogram(&'static [f64]),
    /// Always 1; its labels say it.
    Info,
}

/// How long runs take, in seconds.
const RUNS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// How late they are.
const DELAYS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0];

/// How long a store or a request takes.
const QUICK: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

macro_rules! series {
    ($($name:ident $text:literal $kind:expr, $labels:expr, $help:literal;)*) => {
        /// A series.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "its help says what it is")]
        pub enum Series { $($name),* }

        impl Series {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Series] = &[$(Series::$name),*];

            /// As it is called by whoever asks for it: that of a counter ends with `_total`.
            pub fn name(self) -> &'static str {
                match self { $(Series::$name => $text),* }
            }

            /// What kind it is.
            pub fn kind(self) -> Kind {
                match self { $(Series::$name => $kind),* }
            }

            /// The names of its labels.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Series::$name => &$labels),* }
            }

            /// What it says.
            pub fn help(self) -> &'static str {
                match self { $(Series::$name => $help),* }
            }
        }
    };
}

series! {
    BuildInfo "cronclave_build_info" Kind::Info, ["version", "target"],
        "The program";
    JobInfo "cronclave_job_info" Kind::Info, ["job_name", "schedule", "timezone", "owner", "action", "run_on"],
        "What the schedule files say of a job";
    NextRun "cronclave_job_next_run_timestamp_seconds" Kind::Gauge, ["job_name"],
        "When the job is due next; absent when it is not, as for a disabled one";
    LastSuccess "cronclave_job_last_success_timestamp_seconds" Kind::Gauge, ["job_name"],
        "When the last run that succeeded ended";
    LastFailure "cronclave_job_last_failure_timestamp_seconds" Kind::Gauge, ["job_name"],
        "When the last run that did not succeed ended";
    LastStart "cronclave_job_last_start_timestamp_seconds" Kind::Gauge, ["job_name"],
        "When code of the job was last started";
    LastDuration "cronclave_job_last_run_duration_seconds" Kind::Gauge, ["job_name"],
        "How long the last attempt took that ended";
    LastSucceeded "cronclave_job_last_run_success" Kind::Gauge, ["job_name"],
        "1 when the last run that is over succeeded, 0 when it did not";
    Paused "cronclave_job_paused" Kind::Gauge, ["job_name"],
        "1 while no run of the job is started";
    Overdue "cronclave_job_overdue" Kind::Gauge, ["job_name"],
        "1 while the job has not succeeded within its must_succeed_within";
    Deadline "cronclave_job_success_deadline_timestamp_seconds" Kind::Gauge, ["job_name"],
        "By when the job has to succeed; only with must_succeed_within";
    InProgress "cronclave_runs_in_progress" Kind::Gauge, ["job_name"],
        "Runs whose code may be going, anywhere in the cluster";
    Runs "cronclave_runs_total" Kind::Counter, ["job_name", "state", "trigger"],
        "Runs whose end this process recorded, by how they ended and why they existed";
    RunDuration "cronclave_run_duration_seconds" Kind::Histogram(RUNS), ["job_name"],
        "How long attempts took whose end this process recorded";
    StartDelay "cronclave_run_start_delay_seconds" Kind::Histogram(DELAYS), [],
        "From a run's instant to the start of its first attempt by this process; 0 when that was committed ahead of the instant";
    Retries "cronclave_run_retries_total" Kind::Counter, ["job_name"],
        "Attempts that ended and are followed by another";
    Occurrences "cronclave_occurrences_total" Kind::Counter, ["job_name", "decision"],
        "Occurrences that this process decided: started, or the reason why not";
    Acquisitions "cronclave_lock_acquisitions_total" Kind::Counter, ["outcome"],
        "Bids of this process for runs: won, lost, error";
    AcquireDuration "cronclave_lock_acquire_duration_seconds" Kind::Histogram(QUICK), [],
        "How long a bid took to be answered";
    RenewDuration "cronclave_lock_renew_duration_seconds" Kind::Histogram(QUICK), [],
        "How long the renewal of a lease took";
    LocksLost "cronclave_locks_lost_total" Kind::Counter, [],
        "Runs of this process that were stopped because their lease was lost";
    Fenced "cronclave_fencing_rejections_total" Kind::Counter, [],
        "Outdated holders that the store refused";
    Duplicates "cronclave_duplicate_starts_prevented_total" Kind::Counter, [],
        "Starts that were refused because the run had been started, was over, or had a newer claim";
    Skew "cronclave_clock_skew_seconds" Kind::Gauge, ["reference"],
        "By how much this machine's clock is ahead of the store's; nothing depends on it";
    Lag "cronclave_scheduler_lag_seconds" Kind::Gauge, [],
        "The latest that a job was looked at, or got a place to run in, in the last minute or two";
    JobsWaiting "cronclave_jobs_waiting" Kind::Gauge, [],
        "Jobs that are due and wait for this process to look at them, or for a place in it to run in";
    Stalled "cronclave_stalled_seconds_total" Kind::Counter, [],
        "Time for which this process was stopped, or its scheduler's loop did not turn";
    CheckFailing "cronclave_check_failing" Kind::Gauge, ["check"],
        "1 while this process finds something wrong with itself or what it depends on";
    Replicas "cronclave_replicas" Kind::Gauge, [],
        "Replicas seen alive";
    Workers "cronclave_workers" Kind::Gauge, [],
        "Workers seen alive; a replica with --workers is one as well";
    StoreUp "cronclave_store_up" Kind::Gauge, [],
        "1 while the store answers; when it does not, the gauges of jobs keep their last values";
    Repairs "cronclave_store_repairs_total" Kind::Counter, [],
        "Times that the store had lost what it confirmed, or may have, and was given it back, as seen by this process";
    StoreDuration "cronclave_store_operation_duration_seconds" Kind::Histogram(QUICK), ["store", "op"],
        "How long the store took for what this process asked of it";
    BrokerUp "cronclave_broker_up" Kind::Gauge, [],
        "1 while messages can be sent; absent without a broker";
    Published "cronclave_published_messages_total" Kind::Counter, ["exchange", "outcome"],
        "Messages of this process: confirmed, returned (no queue takes it, or it is refused), nacked (or not confirmed), unsent";
    Deliveries "cronclave_worker_deliveries_total" Kind::Counter, ["queue", "outcome"],
        "Requests that this worker dealt with: acked, requeued, dead_lettered, duplicate";
    Slots "cronclave_worker_slots" Kind::Gauge, ["queue"],
        "How many requests this worker carries out at once";
    SlotsBusy "cronclave_worker_slots_busy" Kind::Gauge, ["queue"],
        "How many it carries out now";
    Hooks "cronclave_hook_deliveries_total" Kind::Counter, ["hook", "outcome"],
        "What came of sending to hooks: delivered, retrying, failed, switched_off; all registered webhooks are one";
    Dropped "cronclave_events_dropped_total" Kind::Counter, ["sink"],
        "Events that a listener of this process was too slow to take";
    Reloads "cronclave_config_reloads_total" Kind::Counter, ["outcome"],
        "Times that changed schedule files were read: applied, or rejected for their mistakes";
    LastReload "cronclave_config_last_reload_success_timestamp_seconds" Kind::Gauge, [],
        "When the schedule files in force were read";
    Drift "cronclave_config_drift" Kind::Gauge, [],
        "Versions of the schedule files beyond one among the replicas and workers seen alive";
    Requests "cronclave_http_requests_total" Kind::Counter, ["method", "route", "status"],
        "HTTP requests answered";
    RequestDuration "cronclave_http_request_duration_seconds" Kind::Histogram(QUICK), ["method", "route"],
        "How long the head of an answer took";
    SseClients "cronclave_sse_clients" Kind::Gauge, [],
        "Clients that follow events of this process now";
    Cpu "process_cpu_seconds_total" Kind::Counter, [],
        "Processor time used";
    OpenFds "process_open_fds" Kind::Gauge, [],
        "Open file descriptors";
    MaxFds "process_max_fds" Kind::Gauge, [],
        "Open file descriptors at most";
    Virtual "process_virtual_memory_bytes" Kind::Gauge, [],
        "Virtual memory";
    Resident "process_resident_memory_bytes" Kind::Gauge, [],
        "Resident memory";
    Threads "process_threads" Kind::Gauge, [],
        "Threads";
    Started "process_start_time_seconds" Kind::Gauge, [],
        "When the process started";
}

impl Series {
    /// Its name without what is added for its kind.
    pub(super) fn stem(self) -> &'static str {
        let name = self.name();
        match self.kind() {
            Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            Kind::Info => name.strip_suffix("_info").unwrap_or(name),
            Kind::Gauge | Kind::Histogram(_) => name,
        }
    }
}
