//! Workers and a broker: the short form of tests/workers, with every kind of fault in turn.

use crate::cluster::{Cluster, SIGN, WORKERS};
use crate::field::{Field, TTL, sleep};
use crate::load::{self, JOBS};
use crate::rabbit::Rabbit;

const QUEUE: &str = "cronclave.q.default.default";
const ON_WORKERS: &str = "run_on = \"worker\"\nstart_within = \"4s\"\noverlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"5s\" }";

#[test]
fn x11_a_broker_that_loses_everything_it_can_lose_loses_no_occurrence() {
    let mut cluster = Cluster::with_another_on_redis(&load::jobs(0..JOBS, SIGN, ON_WORKERS));
    let mut rabbit = Rabbit::start();
    let vhost = rabbit.vhost();
    cluster.amqp = Some(rabbit.url_of(&vhost));
    for index in 0..4 {
        cluster.work(index);
    }
    let mut field = Field::of(cluster, Vec::new(), TTL, &|_| SIGN.to_owned());
    field.replicas = 3;
    let mut turns = 0;
    let turn = |field: &mut Field| {
        sleep(0.7);
        turns += 1;
        match turns % 6 {
            1 => rabbit.close_connections(&vhost),
            2 => rabbit.purge(&vhost, QUEUE),
            3 => rabbit.unbind(&vhost, "cronclave.tasks", QUEUE, "task.default.default.#"),
            4 => {
                let index = rand::random_range(0..4);
                field.ours.kill(WORKERS + index);
                field.ours.work(index);
            }
            5 => {
                let index = rand::random_range(0..3);
                field.ours.kill(index);
                field.ours.serve(index);
            }
            _ => {
                rabbit.kill();
                rabbit.start_again();
            }
        }
        field.faults += 1;
    };
    let result = field.disturb("X11", "RabbitMQ killed, purged, unbound; workers killed", turn, |_| {});
    result.spotless().only_lost();
}
