// Package stats counts what a broker does, under the names of RocketMQ's
// BrokerStatsManager, for VIEW_BROKER_STATS_DATA (315), GET_TOPIC_STATS_INFO
// (202), GET_CONSUME_STATS (208) and GET_BROKER_RUNTIME_INFO (28).
//
// A counter (Item) is two atomic numbers; adding to it takes no lock. One
// goroutine, started by Start and awaited by Shutdown, samples all counters every
// 10 s, 10 min and 1 h and keeps the last 7, 7 and 25 samples, from which the
// sums and rates of the last minute, hour and day come. One lock a counter name
// guards its map of keys, one lock an item its samples; both are leaves and held
// for a look-up or a copy only.
//
// The number of counters is bounded (Options.MaxItems): beyond it new keys share
// one counter that nobody sees. Counters of deleted topics and groups go away
// with TopicDeleted and GroupDeleted. The package stores nothing on disk.
package stats
