package protocol

import (
	"reflect"
	"slices"
	"strconv"
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

// names of the codes.
var names = func() map[Code]string {
	m := make(map[Code]string, len(rows))
	for _, r := range rows {
		m[r.Code] = r.Name
	}
	return m
}()

// String returns RocketMQ's name of the code, or its number.
func (c Code) String() string {
	if n, ok := names[c]; ok {
		return n
	}
	return strconv.Itoa(int(c))
}
