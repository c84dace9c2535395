"""A worker in another language: does what a `publish` job with `complete_on = "result"` asks for, and reports.
Debian: apt-get install python3-pika. AMQP_URL names the RabbitMQ; it stops on SIGTERM and Ctrl-C."""
import json, os, signal, sys, pika

def work(body):  # what takes longer than a minute belongs into a thread: heartbeats must go on
    print("closing the day:", body.decode(), flush=True)

def on_request(channel, delivery, properties, body):
    run = properties.headers
    report = {"run_id": run["cronclave-run-id"], "fencing_token": run["cronclave-fencing-token"], "worker": "foreign_worker.py"}
    try:
        work(body)
        report["outcome"] = "succeeded"
    except Exception as error:
        report |= {"outcome": "failed", "message": str(error)}
    key = f"result.{run['cronclave-cluster'].replace('.', '-')}.{run['cronclave-job']}.{report['outcome']}"
    lasting = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    # Confirmed, or it raises: then the request is not acknowledged, and comes again.
    channel.basic_publish("cronclave.results", key, json.dumps(report), lasting, mandatory=True)
    channel.basic_ack(delivery.delivery_tag)

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit())
channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.confirm_delivery()
channel.basic_qos(prefetch_count=1)
channel.queue_declare("invoices", durable=True)
channel.queue_bind("invoices", "billing", "invoices.close.daily")
channel.basic_consume("invoices", on_request)
channel.start_consuming()
