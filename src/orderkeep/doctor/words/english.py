"""English. Each rule: what it is, what it does to orders, what to do."""

from typing import Final

RULES: Final[dict[str, tuple[str, str, str]]] = {
    "auto-ack": (
        "The receiver does not confirm what it takes",
        (
            "The broker forgets an order the moment it hands it over. If the receiving program"
            " stops or breaks then, the order is gone and nobody is told."
        ),
        "Let the program confirm an order only after it is stored (manual acknowledgement).",
    ),
    "polled-without-ack": (
        "Orders are fetched one by one without a confirmation",
        "Each order is forgotten as it leaves. A receiver that breaks right after has lost it.",
        "Consume with acknowledgements instead of basic.get with no_ack.",
    ),
    "queue-not-durable": (
        "The queue does not survive a restart",
        "When the broker restarts, this queue disappears with every order in it.",
        "Declare a durable quorum queue beside it and move publisher and receiver over.",
    ),
    "queue-goes-with-its-user": (
        "The queue disappears with its receiver",
        "When the connection of the receiver ends, the queue and the orders in it are deleted.",
        "Give orders a named durable queue that belongs to nobody's connection.",
    ),
    "queue-expires": (
        "The queue deletes itself",
        "Unused for the time set (milliseconds), the queue is deleted with what it holds.",
        "Remove the expiry.",
    ),
    "transient-messages": (
        "Orders are not written to disk",
        "The queue would survive a restart, these orders would not: they were sent as transient.",
        "Publish with delivery_mode=2, or use a quorum queue, which writes everything.",
    ),
    "no-confirms": (
        "The sender does not ask whether its orders arrived",
        "When the broker stops or refuses, the sender notices nothing and the order is gone.",
        "Publish with confirms (confirm.select) and keep the order until the confirm.",
    ),
    "unroutable-dropped": (
        "Orders were sent to an address nobody has, and thrown away",
        "The broker says 'received' to such orders and drops them at once.",
        "Publish as mandatory and treat a return as a failure; give the exchange an alternate one.",
    ),
    "returns-ignored": (
        "Orders came back to the sender as undeliverable",
        "The broker returned them. A sender that does not listen for returns has lost them.",
        "Treat a return as a failed sending (on_return_raises=True) and look for these orders.",
    ),
    "exchange-leads-nowhere": (
        "An address with no queue behind it",
        "Every order sent to this exchange is thrown away.",
        "Bind the queue that should get them, or an alternate exchange with a queue for strays.",
    ),
    "exchange-not-durable": (
        "The address does not survive a restart",
        "After a restart the exchange and its bindings are gone, and orders reach no queue.",
        "Declare it durable under a new name and move the bindings.",
    ),
    "no-dead-letters": (
        "Nowhere to put an order that could not be handled",
        "An order that the receiver refuses is thrown away.",
        "Give the queue a dead-letter exchange with a queue that a person looks at.",
    ),
    "dead-letters-to-nowhere": (
        "Refused orders go to an address that does not exist",
        "A place for refused orders is named, but it is not there: they are thrown away.",
        "Declare the exchange and bind a queue to it.",
    ),
    "dead-letters-unbound": (
        "Refused orders go to an address with no queue behind it",
        "Refused orders are thrown away there, or pile up out of sight.",
        "Bind a queue that a person looks at.",
    ),
    "policy-shadowed": (
        "A protection is set but not in force",
        (
            "Only one policy applies to a queue. Another one won, and what the first one protects"
            " is unprotected."
        ),
        "Put what both say into one policy.",
    ),
    "ttl-throws-away": (
        "Orders that wait too long are thrown away",
        "After the time set (milliseconds) an order is deleted; nothing keeps it.",
        "Remove the limit, or give the queue a dead-letter exchange.",
    ),
    "full-queue-drops": (
        "A full queue throws its oldest orders away",
        "At the limit the oldest order is pushed out, and its sender has long been told 'kept'.",
        "Set overflow to reject-publish, and let senders use confirms.",
    ),
    "endless-delivery": (
        "An order that breaks the receiver is tried for ever",
        "It is handed out again and again, may be made twice, and holds up the others.",
        "Set a delivery limit together with a dead-letter exchange.",
    ),
    "limit-throws-away": (
        "After some tries an order is thrown away",
        "The limit of deliveries is reached quickly when the receiver is down for a while.",
        "Give the queue a dead-letter exchange.",
    ),
    "dead-letters-at-most-once": (
        "Refused orders may get lost on the way to their place",
        "They are moved without waiting until the other queue has them.",
        "Set dead-letter-strategy to at-least-once and overflow to reject-publish.",
    ),
    "prefetch-unlimited": (
        "The receiver takes every order at once",
        (
            "The whole backlog moves into one program's memory: others wait, and when it stops all"
            " of it is handed out again."
        ),
        "Set a prefetch (10 is a good start), or let the receiver pull what it can do.",
    ),
    "deliveries-held": (
        "The receiver holds orders without finishing them",
        (
            "Nothing was confirmed between our two looks. After the broker's time limit (30 minutes"
            " unless set) all of them are handed out again and may be made twice."
        ),
        "Store the order first, confirm it, then do the long work.",
    ),
    "consumer-timeout": (
        "The broker takes orders back after an unsuitable time",
        (
            "Work that lasts longer than this (milliseconds) is given out a second time; on a queue"
            " type that does not know the setting it has no effect."
        ),
        "Set a time longer than the work, and confirm before the long work.",
    ),
    "nobody-consumes": (
        "Orders wait and nobody takes them",
        "No program reads this queue. These orders stand still.",
        "Start the receiver, and raise an alert when a queue has none.",
    ),
    "alarm": (
        "The broker takes no orders at the moment",
        "Memory or disk ran short; every sender waits until it is freed.",
        "Free memory or disk, and drain the queues; give senders a deadline.",
    ),
    "heartbeat-off": (
        "A broken line is noticed by nobody",
        "Without heartbeats a cut connection looks alive, and its orders wait for it.",
        "Set a heartbeat of 30 to 60 seconds in the program.",
    ),
    "connection-churn": (
        "A new connection for every message",
        "Connecting costs more than sending; under load the broker stops taking connections.",
        "Keep one connection open and reuse it.",
    ),
    "classic-mirroring": (
        "Copies of the old kind that may be out of date",
        (
            "When the leading machine fails, a copy that lags behind loses orders that were"
            " confirmed. RabbitMQ 4.0 has no such copies any more."
        ),
        "Move to quorum queues.",
    ),
    "lazy-queue": (
        "A setting that new versions refuse",
        "From RabbitMQ 4.3 a program that declares this queue gets an error instead of it.",
        "Remove queue-mode from arguments and policies.",
    ),
    "too-few-members": (
        "One lost machine stops these orders",
        "A queue on fewer than three machines stands still, or is lost, with one of them.",
        "Run three nodes and give the queue three members.",
    ),
    "wide-rights": (
        "A program may change and delete everything",
        "A stolen password, or a mistake in a program, can delete queues with their orders.",
        "Give each program a user of its own with only the rights it uses; delete guest.",
    ),
    "cluster-partitioned": (
        "The cluster fell apart",
        "The machines went on separately; what one of them took is thrown away when they rejoin.",
        "Decide which side to keep, restart the other, and set pause_minority.",
    ),
    "shovel-ack-mode": (
        "A shovel forgets orders before they have arrived",
        "It confirms them here before the far side has them.",
        "Set ack-mode to on-confirm.",
    ),
    "federation-ack-mode": (
        "A federation forgets orders before they have arrived",
        "It confirms them there before this side has them.",
        "Set ack-mode to on-confirm.",
    ),
    "quarantine-forgets": (
        "The place for refused orders throws them away",
        "It has a limit of time or number, and nothing keeps what falls out.",
        "Remove the limit from the queue for refused orders.",
    ),
    "dead-letter-circle": (
        "Refused orders go round in a circle",
        "An order that comes back where it was, only by age or number, is dropped silently.",
        "Let dead letters end in a queue that has no dead-letter exchange back.",
    ),
    "quarantine-limit": (
        "A limit that is not kept to",
        "Dead letters enter this queue beyond its limit: do not count on it.",
        "Watch its length instead.",
    ),
    "queue-down": (
        "The queue is down",
        "The broker itself says that this queue does not work; its orders cannot be reached.",
        "Bring back the machine that holds it.",
    ),
    "nearly-full": (
        "The broker is about to run out of room for connections or files",
        "At the limit no program can connect any more.",
        "Raise the limit, and close what is not needed.",
    ),
    "order-not-kept": (
        "Several receivers where one at a time was meant",
        "The later message of an order may be handled before the earlier one.",
        "Declare the queue with x-single-active-consumer=true.",
    ),
    "global-prefetch": (
        "One limit for a whole channel",
        "Quorum queues refuse this setting, so moving to them would break the program.",
        "Set the prefetch for each consumer (global=false).",
    ),
    "big-messages": (
        "Whole model files travel through the broker",
        "Large messages slow every other one down, and may be refused at the size limit.",
        "Send a reference to the file instead.",
    ),
    "channel-leak": (
        "A program opens channels and does not close them",
        "At the limit of the connection it can send nothing more.",
        "Keep one channel for publishing and one for each consumer.",
    ),
    "hot-loop": (
        "The same orders are handed back and out again",
        "The receiver returns them at once: it works for nothing and may do the work twice.",
        "Pause before trying again, limit deliveries, and put aside what cannot be handled.",
    ),
    "delayed-exchange": (
        "Delayed orders lie on one machine only",
        "They are in no queue while they wait, and are lost with that machine.",
        "Keep the time to send in the sender's database.",
    ),
}

PHRASES: Final[dict[str, str]] = {
    "title": "RabbitMQ, looked at by orderkeep",
    "broker": "{cluster}, RabbitMQ {version}; two looks, {seconds} seconds apart",
    "verdict": "Verdict",
    "clean": "No rule is broken: nothing we can see loses, doubles or holds up orders.",
    "clean-unseen": "Nothing is wrong in what we could see; but not all could be seen, see below.",
    "harm": "Orders can get lost or be made twice in {count} places. {resting} messages rest in"
    " queues concerned.",
    "stalls": "Nothing loses or doubles orders, but {count} findings can hold them up or harm.",
    "where": "Orders are at stake here: {places}.",
    "more-places": "and {count} more",
    "lost": "Messages already lost since the broker started: {total}.",
    "lost-none": "No message was counted as lost since the broker started.",
    "lost-at-least": "Messages already lost since the broker started: {total} or more; the exact"
    " number could not be read.",
    "lost-unknown": "How many messages were already lost could not be counted.",
    "unproved": "Left without any acknowledgement: {total}. Whether they arrived, nobody knows.",
    "next": "Next step: {step}",
    "then": "Then: {step}",
    "numbers": "{findings} findings, {at_risk} messages resting, {lost} lost.",
    "findings": "What was found",
    "at-risk": "messages resting here now",
    "evidence": "Evidence",
    "fix": "Commands",
    "unseen": "What could not be seen",
    "not-visible": "What no reply of this broker shows",
    "already-lost": "Already lost",
    "rule": "rule",
    "loses": "loses",
    "doubles": "doubles",
    "stalls-word": "holds up",
    "exposes": "exposes",
    "critical": "at once",
    "serious": "soon",
    "notice": "when convenient",
    "kind-queue": "queue",
    "kind-exchange": "exchange",
    "kind-channel": "channel",
    "kind-connection": "connection",
    "kind-node": "node",
    "kind-user": "user",
    "kind-broker": "broker",
    "kind-shovel": "shovel",
    "kind-upstream": "upstream",
    "lost-rejected": "refused by the receiver, with no place to go",
    "lost-expired": "waited too long, with no place to go",
    "lost-maxlen": "pushed out of a full queue",
    "lost-delivery_limit": "tried too often, with no place to go",
    "lost-unroutable": "sent to an address nobody has",
    "hidden-consumer-timeout": "The time after which the broker takes deliveries back (30 minutes"
    " unless changed): `rabbitmqctl environment | grep consumer_timeout`.",
    "hidden-partition-handling": "What the cluster does when it falls apart:"
    " `rabbitmqctl environment | grep cluster_partition_handling`; it should be pause_minority.",
    "hidden-single-active": "Whether the messages of one order must be handled one after another;"
    " then the queue needs x-single-active-consumer.",
    "unseen-definitions": (
        "a file of settings does not show it; look at the running broker with --url"
    ),
    "unseen-report": (
        "a report is one look, and counts nothing that is gone; look at the running "
        "broker with --url"
    ),
    "unseen-amqp": (
        "over AMQP alone this cannot be seen: give the address of the management API, "
        "or a file with --definitions or --report"
    ),
    "hidden-too-close": (
        "The two looks were less than five seconds apart, and a broker counts no "
        "oftener: whether deliveries are held was not asked."
    ),
    "broker-once": "{cluster} RabbitMQ {version}, as it was at one moment",
    "unseen-absent": "it is not there: what is sent to it is lost, unless the sender heeds"
    " what comes back",
    "unseen-rights": "the user has no right to it (needs the tag {tag})",
    "unseen-stats": "the broker does not count messages (management.disable_stats)",
    "unseen-missing": "the broker does not offer it",
    "unseen-answer": "the answer could not be used ({detail})",
    "unseen-metrics": "no answer at {detail}; enable rabbitmq_prometheus or give --metrics-url",
    "unseen-nodes": "counters came from {answered} of {nodes} nodes; give --metrics-url for each",
    "step-fix-settings": "fix the settings of the broker. The commands below do most of it;"
    " programs stay as they are.",
    "step-bridge-before-the-mes": "put a bridge before the MES that stores each order before it"
    " confirms it and sends with confirms. Here programs lose orders, and no setting of the broker"
    " can stop them.",
    "step-pull-instead-of-push": "let the MES pull what it can do instead of having everything"
    " pushed at it: orders then wait safely in the queue, not in a program's memory.",
    "step-relieve-the-mes": "relieve the MES or give it more hands: orders wait there longer"
    " than they should, or nobody takes them.",
    "none-needed": "keep watching: run this again after every change.",
    "growing": "The queues grow: {published} came in and {taken} were taken between the two looks.",
}
