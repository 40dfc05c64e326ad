package protocol

import (
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Code is a request code (RequestCode).
type Code int32

// Server is a set of programs that take a request.
type Server uint8

// Programs.
const (
	NameServer Server = 1 << iota
	Broker
	Proxy
	Client // the server calls back on the client's connection
	Controller
)

// Direction tells who asks whom.
type Direction uint8

// Directions.
const (
	ToServer Direction = 1 << iota // clients, tools and other servers ask
	ToClient                       // a broker asks a client on its connection
)

// Resource is a set of kinds of things that an access rule is about
// (ResourceType).
type Resource uint8

// Kinds of resources.
const (
	ResourceNone    Resource = 0
	ResourceCluster Resource = 1 << iota
	ResourceNamespace
	ResourceTopic
	ResourceGroup
)

// Action is a set of actions that an access rule allows or denies (Action).
type Action uint16

// Actions. A request needs any one of the set of its row.
const (
	ActionNone   Action = 0
	ActionPub    Action = 1 << 3
	ActionSub    Action = 1 << 4
	ActionCreate Action = 1 << 5
	ActionUpdate Action = 1 << 6
	ActionDelete Action = 1 << 7
	ActionGet    Action = 1 << 8
	ActionList   Action = 1 << 9
)

// ACLField says that a field of a request names a resource, or several.
type ACLField struct {
	Key       string   // in extFields; of one-letter headers the letter
	Resource  Resource // one kind
	Separator string   // between the names in the field, "" = it has one name
}

// Names gives the names in the value of the field, without blanks around them and
// without empty ones. They alias the value.
func (f ACLField) Names(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for more := true; more; {
			name := value
			if more = false; f.Separator != "" {
				name, value, more = strings.Cut(value, f.Separator)
			}
			if name = strings.TrimSpace(name); name != "" && !yield(name) {
				return
			}
		}
	}
}

// Row is what is known about a request code without its types.
type Row struct {
	Code      Code
	Name      string // RocketMQ's name, SEND_MESSAGE
	Server    Server
	Direction Direction
	// Tier says who needs the code: 'A' applications, 'B' tools, 'C' other
	// servers, 'D' nobody any more.
	Tier byte
	// ACLResource and ACLAction come from the @RocketMQAction annotation of the
	// request header, ACLResource joined with the resources its fields name.
	// Both are zero for codes that Java does not annotate; it decides about some
	// of those (sends, pulls, heartbeats, locks) by code.
	ACLResource Resource
	ACLAction   Action
	// ACLFields are the fields of the request that name what the rule is about
	// (@RocketMQResource), under the keys they have in extFields. The slice is
	// everybody's: nobody changes it.
	ACLFields []ACLField
	// Request and Response are the header structs.
	Request, Response reflect.Type
}

// Call is a row that knows its header structs: Q of the request, R of the answer,
// header.None where there is none.
type Call[Q, R any] struct{ Row }

// call completes a row.
func call[Q, R any](r Row) Call[Q, R] {
	r.Request, r.Response = reflect.TypeFor[Q](), reflect.TypeFor[R]()
	if r.Server&Client != 0 {
		r.Direction |= ToClient
	}
	if r.Server&^Client != 0 {
		r.Direction |= ToServer
	}
	return Call[Q, R]{r}
}

// Table returns all rows, ordered by code. The slice is the caller's own.
func Table() []Row { return slices.Clone(rows[:]) }

// byCode are the rows.
var byCode = func() map[Code]*Row {
	m := make(map[Code]*Row, len(rows))
	for i := range rows {
		m[rows[i].Code] = &rows[i]
	}
	return m
}()

// RowOf gives the row of a code, nil when no version of RocketMQ has the code. The row
// is everybody's: nobody changes it.
func RowOf(c Code) *Row { return byCode[c] }

// String returns RocketMQ's name of the code, or its number.
func (c Code) String() string {
	if r := byCode[c]; r != nil {
		return r.Name
	}
	return strconv.Itoa(int(c))
}
