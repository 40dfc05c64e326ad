package admin

import (
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/broker/cluster"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/group"
	"github.com/merlinmq/merlin/broker/offset"
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/broker/topic"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
	"github.com/merlinmq/merlin/store"
)

// Store is what administration needs of the message store.
type Store interface {
	MinOffset(topic string, queueID int32) int64
	MaxOffset(topic string, queueID int32) int64
	OffsetByTime(topic string, queueID int32, timestamp int64, upper bool) (int64, error)
	StoreTimeAt(topic string, queueID int32, offset int64) (int64, error)
	EarliestStoreTime(topic string, queueID int32) (int64, error)
	Entries(topic string, queueID int32, from int64, max int) ([]store.QueueEntry, error)
	RecordAt(phyOffset int64) ([]byte, error)
	DeleteTopic(topic string) error
	Topics() []string
	MaxPhyOffset() int64
	// RuntimeInfo is the store's part of GET_BROKER_RUNTIME_INFO (28).
	RuntimeInfo() map[string]string
	// CleanNow runs the clean-up of deleteWhen now.
	CleanNow() error
	// CleanExpiredQueues deletes consume queues without messages, but for topics
	// that keep spares.
	CleanExpiredQueues(keep func(topic string) bool) error
}

// Delay is what administration needs of the delay levels.
type Delay interface {
	// Offsets gives "delivered,max" of every level that has any.
	Offsets() map[int]string
	// Encode gives delayOffset.json.
	Encode() ([]byte, error)
}

// Lanes are the lanes whose queues GET_BROKER_RUNTIME_INFO (28) shows; a nil one
// shows an empty queue.
type Lanes struct {
	Send, Pull, LitePull, Query, Ack, EndTransaction *remoting.Lane
}

// Deps are what the handlers stand on.
type Deps struct {
	Config    *config.Holder
	Topics    *topic.Table
	Groups    *group.Table
	Offsets   *offset.Table
	Consumers *client.Consumers
	Producers *client.Producers
	Stats     *stats.Manager
	Store     Store
	Delay     Delay
	Lanes     Lanes
	Clock     clock.Clock
	Logger    *slog.Logger // nil: nothing is logged
	// Addr is the address that clients are told, host:port.
	Addr string
	// Register tells the name servers of a changed broker permission. It must not
	// block.
	Register func()
	// Active reports whether delayed messages are delivered and transactions checked;
	// nil: they are.
	Active func() bool
	// Told waits for the registration of a topic that a request made.
	Told cluster.Told
}

// Handler answers the requests of this package; its methods may run together.
type Handler struct {
	Deps

	started  int64        // ms
	forwards atomic.Int64 // requests that wait for clients

	// changing lets one change of topics or groups at a time through. It is held
	// while the groups' file is written and while topics are deleted; no other lock
	// is taken before it.
	changing sync.Mutex
}

// New makes a Handler.
func New(d Deps) *Handler {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Active == nil {
		d.Active = func() bool { return true }
	}
	if d.Register == nil {
		d.Register = func() {}
	}
	d.Clock = clock.Or(d.Clock)
	return &Handler{Deps: d, started: d.Clock.NowMillis()}
}

// done is the answer of a request that has nothing to tell.
func done() (*remoting.Answer, error) { return &remoting.Answer{}, nil }

// doneUnset is the answer of a few requests to which Java adds the remark that
// stands in a fresh command.
func doneUnset() (*remoting.Answer, error) {
	return &remoting.Answer{Remark: "not set any response code", HasRemark: true}, nil
}

// reply is an answer with a JSON body in Java's dialect.
func reply(v any) (*remoting.Answer, error) {
	data, err := body.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Body: data}, nil
}

// refuse is an answer with a code and a remark.
func refuse(code protocol.ResponseCode, format string, args ...any) (*remoting.Answer, error) {
	return nil, protocol.Errorf(code, format, args...)
}

// missing is the answer to a request without a field that it needs. Java runs
// into a null pointer there and answers with the same code.
func missing(field string) error {
	return protocol.Errorf(protocol.SystemError, "the request has no %s", field)
}

// text is a string as Java prints it.
func text(s wire.OptString) string { return s.Or("null") }

func (h *Handler) queue(topicName string, id int32) body.MessageQueue {
	return body.MessageQueue{Topic: topicName, BrokerName: h.Config.Get().BrokerName, QueueID: id}
}

// subscribes says whether the statistics of a topic belong to a group: the group
// is offline, or one of its members subscribes to the topic.
func (h *Handler) subscribes(groupName, topicName string) bool {
	g := h.Consumers.Find(groupName)
	if g == nil || len(g.View().Subscriptions) == 0 {
		return true
	}
	return h.Consumers.Subscription(groupName, topicName) != nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// from is the peer of a request, for the log.
func from(r *remoting.Request) slog.Attr {
	if r.Peer == nil {
		return slog.Attr{}
	}
	return slog.String("from", r.Peer.RemoteAddr().String())
}
