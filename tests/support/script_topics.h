/* script_topics: a Kafka without topics that notes what is done to it. Linked in place of
 * controller/kafka_admin/topics.c. */
#ifndef TESTS_SUPPORT_SCRIPT_TOPICS_H
#define TESTS_SUPPORT_SCRIPT_TOPICS_H

/* Topics made, grown or configured so far. */
extern unsigned script_topics_changes;

#endif
