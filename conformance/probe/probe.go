package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Request codes that the conformance tests ask for themselves.
const (
	QueryConsumerOffset  = 14
	UpdateConsumerOffset = 15
	CreateTopic          = 17
	SearchOffset         = 29
	MaxOffset            = 30
	MinOffset            = 31
	Heartbeat            = 34
	ConsumersOfGroup     = 38
	LockQueues           = 41
	UnlockQueues         = 42
	BrokerConfig         = 26
	RuntimeInfo          = 28
	UnregisterBroker     = 104
	RouteByTopic         = 105
	ClusterInfo          = 106
	CreateGroup          = 200
	TopicStats           = 202
	ProducersOfGroup     = 204
	DeleteGroup          = 207
	AllTopics            = 21  // what a broker has
	AllGroups            = 201 // what a broker has
	AllRoutes            = 206 // the topics that a name server has
	ConsumeStats         = 208
	DeleteTopicInBroker  = 215
	DeleteTopicInNames   = 216
	ResetOffset          = 222
	NamesConfig          = 319
)

// Response codes that the conformance tests look at.
const (
	Success       = 0
	SystemError   = 1
	TopicNotExist = 17
	NotFound      = 22
)

// maxFrame is the largest answer that is read; RocketMQ's own limit.
const maxFrame = 16 << 20

// javaVersion is the MQVersion ordinal sent with each request: V5_3_3. A name
// server answers standard JSON to it.
const javaVersion = 479

// Answer is what a server said to one request. It owns its memory.
type Answer struct {
	Code    int               // response code, Success is 0
	Remark  string            // empty when the server sent none
	Fields  map[string]string // extFields, nil when there were none
	Body    []byte            // nil when there was none
	Opaque  int32             // equals the request's
	Version int               // MQVersion ordinal of the server
	// Language is the server's, as it names it ("JAVA").
	Language string
}

// Error is an answer whose code was not Success.
type Error struct {
	Addr    string
	Request int
	Code    int
	Remark  string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s answered request %d with code %d: %s", e.Addr, e.Request, e.Code, e.Remark)
}

// CodeOf returns the response code inside err, or -1 when err is of another kind.
func CodeOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return -1
}

var opaque atomic.Int32

type header struct {
	Code      int               `json:"code"`
	Language  string            `json:"language"`
	Version   int               `json:"version"`
	Opaque    int32             `json:"opaque"`
	Flag      int               `json:"flag"`
	Remark    string            `json:"remark,omitempty"`
	ExtFields map[string]string `json:"extFields,omitempty"`
	SType     string            `json:"serializeTypeCurrentRPC,omitempty"`
}

// Do sends one request to addr and returns the answer, whatever its code.
func Do(ctx context.Context, addr string, code int, fields map[string]string, body []byte) (*Answer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", addr, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	h := header{Code: code, Language: "JAVA", Version: javaVersion, Opaque: opaque.Add(1), ExtFields: fields, SType: "JSON"}
	if err := writeFrame(conn, &h, body); err != nil {
		return nil, fmt.Errorf("probe %s, request %d: %w", addr, code, err)
	}
	r := bufio.NewReader(conn)
	for {
		a, flag, err := readFrame(r)
		if err != nil {
			return nil, fmt.Errorf("probe %s, request %d: %w", addr, code, err)
		}
		if flag&1 == 1 && a.Opaque == h.Opaque {
			return a, nil
		}
	}
}

// Call is Do that turns every code but Success into an *Error.
func Call(ctx context.Context, addr string, code int, fields map[string]string, body []byte) (*Answer, error) {
	a, err := Do(ctx, addr, code, fields, body)
	if err != nil {
		return nil, err
	}
	if a.Code != Success {
		return nil, &Error{Addr: addr, Request: code, Code: a.Code, Remark: a.Remark}
	}
	return a, nil
}

func writeFrame(w io.Writer, h *header, body []byte) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	frame := make([]byte, 8, 8+len(head)+len(body))
	binary.BigEndian.PutUint32(frame, uint32(4+len(head)+len(body)))
	binary.BigEndian.PutUint32(frame[4:], uint32(len(head))) // type byte 0: JSON
	frame = append(append(frame, head...), body...)
	_, err = w.Write(frame)
	return err
}

func readFrame(r io.Reader) (*Answer, int, error) {
	var word [4]byte
	if _, err := io.ReadFull(r, word[:]); err != nil {
		return nil, 0, err
	}
	total := binary.BigEndian.Uint32(word[:])
	if total < 4 || total > maxFrame {
		return nil, 0, fmt.Errorf("frame of %d bytes", total)
	}
	frame := make([]byte, total)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, 0, err
	}
	n := binary.BigEndian.Uint32(frame)
	if n>>24 != 0 || n > total-4 {
		return nil, 0, fmt.Errorf("header word %#x in a frame of %d bytes", n, total)
	}
	var h header
	if err := json.Unmarshal(frame[4:4+n], &h); err != nil {
		return nil, 0, fmt.Errorf("header %q: %w", frame[4:4+n], err)
	}
	a := &Answer{Code: h.Code, Remark: h.Remark, Fields: h.ExtFields, Opaque: h.Opaque, Version: h.Version, Language: h.Language}
	if body := frame[4+n:]; len(body) > 0 {
		a.Body = body
	}
	return a, h.Flag, nil
}

// bareKey finds the unquoted integer keys of fastjson's maps.
var bareKey = regexp.MustCompile(`([{,]\s*)(-?\d+)(\s*:)`)

// Unmarshal reads a JSON body, standard or with fastjson's unquoted integer keys.
func Unmarshal(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err == nil {
		return nil
	}
	return json.Unmarshal(bareKey.ReplaceAll(body, []byte(`$1"$2"$3`)), v)
}

// Queue is the part of a route that says how many queues one broker set has.
type Queue struct {
	BrokerName string `json:"brokerName"`
	Read       int    `json:"readQueueNums"`
	Write      int    `json:"writeQueueNums"`
	Perm       int    `json:"perm"`
}

// Broker is a broker set of a route.
type Broker struct {
	Cluster string            `json:"cluster"`
	Name    string            `json:"brokerName"`
	Addrs   map[string]string `json:"brokerAddrs"` // broker id → host:port
}

// Route is what a name server knows about a topic.
type Route struct {
	Queues  []Queue  `json:"queueDatas"`
	Brokers []Broker `json:"brokerDatas"`
}

// NameServers splits a list of name servers as clients take it,
// "10.0.0.1:9876;10.0.0.2:9876".
func NameServers(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ' ' })
}

// ask calls the name servers of a list in turn until one answers, whatever it
// says.
func ask(ctx context.Context, nameServers string, code int, fields map[string]string) (a *Answer, err error) {
	err = errors.New("no name server is given")
	for _, addr := range NameServers(nameServers) {
		if a, err = Call(ctx, addr, code, fields, nil); err == nil || CodeOf(err) >= 0 {
			return a, err
		}
	}
	return nil, err
}

// RouteOf asks the name servers, of which the first that answers counts, for the
// route of topic. An unknown topic is an *Error with TopicNotExist.
func RouteOf(ctx context.Context, nameServers, topic string) (*Route, error) {
	a, err := ask(ctx, nameServers, RouteByTopic, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"})
	if err != nil {
		return nil, err
	}
	var r Route
	if err := Unmarshal(a.Body, &r); err != nil {
		return nil, fmt.Errorf("route of %s, %q: %w", topic, a.Body, err)
	}
	return &r, nil
}

// Brokers returns the broker sets that the name servers know, by name, in all
// clusters; the first name server that answers counts.
func Brokers(ctx context.Context, nameServers string) (map[string]Broker, error) {
	a, err := ask(ctx, nameServers, ClusterInfo, nil)
	if err != nil {
		return nil, err
	}
	var info struct {
		Table map[string]Broker `json:"brokerAddrTable"`
	}
	if err := Unmarshal(a.Body, &info); err != nil {
		return nil, fmt.Errorf("cluster info %q: %w", a.Body, err)
	}
	return info.Table, nil
}

// Masters returns the addresses of the brokers with id 0, by broker name, in
// all clusters that the name servers know.
func Masters(ctx context.Context, nameServers string) (map[string]string, error) {
	sets, err := Brokers(ctx, nameServers)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, len(sets))
	for name, b := range sets {
		if addr := b.Addrs["0"]; addr != "" {
			m[name] = addr
		}
	}
	return m, nil
}

// PutTopic creates a topic on one broker or changes its queue counts.
func PutTopic(ctx context.Context, broker, topic string, queues int) error {
	n := strconv.Itoa(queues)
	_, err := Call(ctx, broker, CreateTopic, map[string]string{
		"topic": topic, "defaultTopic": "TBW102", "readQueueNums": n, "writeQueueNums": n, "perm": "6",
		"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false", "attributes": "",
	}, nil)
	return err
}

// DropTopic removes a topic from one broker and from all name servers of a list.
func DropTopic(ctx context.Context, nameServers, broker, topic string) error {
	_, err := Call(ctx, broker, DeleteTopicInBroker, map[string]string{"topic": topic}, nil)
	for _, ns := range NameServers(nameServers) {
		_, err2 := Call(ctx, ns, DeleteTopicInNames, map[string]string{"topic": topic}, nil)
		err = errors.Join(err, err2)
	}
	return err
}

// Properties reads lines of key=value, as brokers and name servers show their
// settings.
func Properties(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return m
}

// PutGroup creates a consumer group on one broker.
func PutGroup(ctx context.Context, broker, group string, retryQueues, retryMax int) error {
	body := fmt.Sprintf(`{"groupName":%q,"consumeEnable":true,"consumeFromMinEnable":true,"consumeBroadcastEnable":true,`+
		`"retryQueueNums":%d,"retryMaxTimes":%d,"brokerId":0,"whichBrokerWhenConsumeSlowly":1,"notifyConsumerIdsChangedEnable":true}`,
		group, retryQueues, retryMax)
	_, err := Call(ctx, broker, CreateGroup, nil, []byte(body))
	return err
}

// DropGroup removes a consumer group with its offsets from one broker.
func DropGroup(ctx context.Context, broker, group string) error {
	_, err := Call(ctx, broker, DeleteGroup, map[string]string{"groupName": group, "cleanOffset": "true"}, nil)
	return err
}

// Offset asks for the committed offset of a group on a queue; -1 when the
// broker has none.
func Offset(ctx context.Context, broker, group, topic string, queue int) (int64, error) {
	a, err := Call(ctx, broker, QueryConsumerOffset, map[string]string{
		"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(queue), "setZeroIfNotFound": "false"}, nil)
	if CodeOf(err) == NotFound {
		return -1, nil
	}
	return offsetField(a, err)
}

// End asks for the offset that the next message of a queue will get.
func End(ctx context.Context, broker, topic string, queue int) (int64, error) {
	return offsetField(Call(ctx, broker, MaxOffset, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)}, nil))
}

func offsetField(a *Answer, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(a.Fields["offset"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("answer without a number in offset: %v", a.Fields)
	}
	return n, nil
}

// Members returns the client ids of a group, in no order; none when the broker
// knows no client of it.
func Members(ctx context.Context, broker, group string) ([]string, error) {
	a, err := Call(ctx, broker, ConsumersOfGroup, map[string]string{"consumerGroup": group}, nil)
	if CodeOf(err) == SystemError {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var b struct {
		IDs []string `json:"consumerIdList"`
	}
	if err := Unmarshal(a.Body, &b); err != nil {
		return nil, fmt.Errorf("members of %s, %q: %w", group, strings.TrimSpace(string(a.Body)), err)
	}
	return b.IDs, nil
}
