// Package store is the facade of the message store: commit log, consume queues,
// index and their recovery, in the formats and directories of RocketMQ 5.3. It
// owns every goroutine below it.
package store
