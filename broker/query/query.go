// Package query answers the requests that look into the store without consuming:
// QUERY_MESSAGE (12), VIEW_MESSAGE_BY_ID (33), SEARCH_OFFSET_BY_TIMESTAMP (29),
// GET_MAX_OFFSET (30), GET_MIN_OFFSET (31) and GET_EARLIEST_MSG_STORETIME (32).
//
// The handlers read the disk, so they belong into a pooled lane. The package owns
// no goroutine, no lock and no state. There are no static topics: lo=true is not
// looked at, as in a Java broker that has no mapping of the topic.
package query

import (
	"log/slog"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/store"
)

// Store is what querying needs of the message store.
type Store interface {
	Query(topic, key string, max int, begin, end int64) (store.QueryResult, error)
	RecordAt(phyOffset int64) ([]byte, error)
	OffsetByTime(topic string, queueID int32, timestamp int64, upper bool) (int64, error)
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
	EarliestStoreTime(topic string, queueID int32) (int64, error)
}

// Deps are what the handlers stand on.
type Deps struct {
	Config *config.Holder
	Store  Store
	Logger *slog.Logger // nil: nothing is logged
}

// Handler answers the requests of this package; its methods may run together.
type Handler struct{ Deps }

// New makes a Handler.
func New(d Deps) *Handler {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{Deps: d}
}

// missing is the answer to a request without a field that it needs. Java runs
// into a null pointer there and answers with the same code.
func missing(field string) error {
	return protocol.Errorf(protocol.SystemError, "the request has no %s", field)
}
