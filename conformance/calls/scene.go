package calls

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/wire"
)

// place is who is asked.
type place uint8

const (
	broker place = iota
	names        // the name server
	fast         // the broker's second port, two below the first
)

// fields are the header fields of a request; values may have $names.
type fields map[string]string

// with is f with some fields replaced; a field set to absent is left out.
func (f fields) with(more fields) fields {
	out := fields{}
	for k, v := range f {
		out[k] = v
	}
	for k, v := range more {
		if out[k] = v; v == absent {
			delete(out, k)
		}
	}
	return out
}

// how says what kind of client asks; the zero value is a Java client 5.3.3 with
// JSON headers.
type how struct {
	binary   bool
	version  int32 // MQVersion ordinal; 0 is that of 5.3.3, -1 asks with 0
	language wire.Language
	flag     int32 // more bits of the flag
}

// step is one request and what of its answer is noted.
type step struct {
	label string // stands before the names of its fields
	to    place
	on    string // connections with a name stay open for the later steps of a case
	code  int32
	ext   fields
	body  string                // may have $names
	raw   func(s *scene) []byte // the body, where it is no text
	how   how
	look  look // how the body is read; nil reads JSON or text
	// hide lists header fields whose values depend on others, envelope notes
	// what every answer carries.
	hide     []string
	envelope bool
	// oneway asks for no answer, silent gets none all the same, pushed waits for
	// a request of the server with this code instead of asking.
	oneway, silent, pushed bool
	hangUp                 bool // ends its connection instead of asking
	quiet                  bool // its answer is not noted, only what it prepares
	// until repeats the request until the answer is as it should be: what
	// servers do behind an answer. It gives up in the end and notes the last one.
	until func(*wire.Command) bool
	// keep learns values from the answer for later steps.
	keep func(s *scene, a *wire.Command)
	// replies are the bodies with which the connection answers the server, by code.
	replies map[int32]string
}

// mentions says that a request has a $name that begins so.
func (st *step) mentions(name string) bool {
	for _, v := range st.ext {
		if strings.Contains(v, name) {
			return true
		}
	}
	return strings.Contains(st.body, name) || strings.Contains(st.on, name)
}

const (
	patience = 15 * time.Second       // for an answer that must come
	silence  = 700 * time.Millisecond // for one that must not
)

// scene is one case at work: its names and connections.
type scene struct {
	f     *fixture
	index int
	conns map[string]*client
	lines []string
	want  int32 // of the case

	mu     sync.Mutex
	names  map[string]string // $name → text, and back when answers are noted
	values map[string]string // $name → text, one way
	there  *strings.Replacer // of the two; nil after they changed
	back   *strings.Replacer
}

func newScene(f *fixture, index int) *scene {
	s := &scene{f: f, index: index, conns: map[string]*client{}, names: map[string]string{}, values: map[string]string{}}
	own := fmt.Sprintf("%s-%d", f.prefix, index)
	for _, n := range []string{"new", "other", "client"} {
		s.names["$"+n] = own + "-" + n
	}
	s.names["$path"] = "../../" + own
	s.names["$wide"] = "主题ü" + own
	s.names["$long"] = own + strings.Repeat("x", 1<<16)
	s.names["$nul"] = own + "\x00b"
	return s
}

func (s *scene) close() {
	for _, c := range s.conns {
		c.close()
	}
}

// set makes a $name known to later steps; masked says that answers show it.
func (s *scene) set(name, text string, masked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there, s.back = nil, nil
	if masked {
		s.names[name] = text
	} else {
		s.values[name] = text
	}
}

// expand puts the texts of $names into t.
func (s *scene) expand(t string) string {
	if !strings.Contains(t, "$") {
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.there == nil {
		s.there = replacer(false, s.f.names, s.f.values, s.names, s.values)
	}
	return s.there.Replace(t)
}

// mask puts $names for texts.
func (s *scene) mask(t string) string {
	s.mu.Lock()
	if s.back == nil {
		s.back = replacer(true, s.f.names, s.names)
	}
	r := s.back
	s.mu.Unlock()
	return maskText(s.f.maskCluster(r.Replace(t)))
}

// replacer replaces keys by values, or back, the longest first.
func replacer(back bool, tables ...map[string]string) *strings.Replacer {
	type pair struct{ from, to string }
	var all []pair
	for _, t := range tables {
		for k, v := range t {
			if back {
				k, v = v, k
			}
			all = append(all, pair{k, v})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if len(all[i].from) != len(all[j].from) {
			return len(all[i].from) > len(all[j].from)
		}
		return all[i].from < all[j].from
	})
	flat := make([]string, 0, 2*len(all))
	for _, p := range all {
		flat = append(flat, p.from, p.to)
	}
	return strings.NewReplacer(flat...)
}

func (s *scene) addr(p place) string {
	switch p {
	case names:
		return s.f.ns
	case fast:
		return s.f.fast
	}
	return s.f.broker
}

// client returns the connection of a step.
func (s *scene) client(ctx context.Context, st *step) (*client, error) {
	name := fmt.Sprint(st.on, "@", st.to)
	if c := s.conns[name]; c != nil {
		return c, nil
	}
	var reply func(*wire.Command) (*wire.Outgoing, []byte)
	if st.replies != nil {
		reply = func(cmd *wire.Command) (*wire.Outgoing, []byte) {
			text, ok := st.replies[cmd.Code]
			if !ok {
				return nil, nil
			}
			return &wire.Outgoing{}, []byte(s.expand(text))
		}
	}
	c, err := dial(ctx, s.addr(st.to), reply)
	if err != nil {
		return nil, err
	}
	s.conns[name] = c
	return c, nil
}

// step does one step, notes its answer and returns its code.
func (s *scene) step(ctx context.Context, st *step) (int32, error) {
	c, err := s.client(ctx, st)
	if err != nil {
		return none, err
	}
	if st.hangUp {
		return none, c.conn.Close()
	}
	var a *wire.Command
	switch {
	case st.pushed:
		if a = c.await(ctx, st.code, patience); a == nil {
			s.note(st, field{"request", "(none)"})
			return none, fmt.Errorf("the server did not send the request %d", st.code)
		}
		s.noteCommand(st, a)
		return 0, nil
	case st.until != nil:
		a, err = s.poll(ctx, c, st)
	default:
		a, err = s.askPatiently(ctx, c, st)
	}
	switch {
	case errors.Is(err, errClosed):
		s.note(st, field{"answer", "the connection was closed"})
		return closed, nil
	case err != nil:
		return none, err
	case a == nil:
		if !st.oneway {
			s.note(st, field{"answer", "(none)"})
		}
		return none, nil
	}
	if st.keep != nil {
		st.keep(s, a)
	}
	if !st.quiet {
		s.noteCommand(st, a)
	}
	if st.until != nil && !st.until(a) {
		return a.Code, fmt.Errorf("the answer to %d did not become what it should: %v", st.code, s.lines)
	}
	return a.Code, nil
}

// askPatiently asks again while the broker says that it is too busy: that tells of
// the machine, and no case is about it.
func (s *scene) askPatiently(ctx context.Context, c *client, st *step) (*wire.Command, error) {
	a, err := s.ask(ctx, c, st)
	for wait := 50 * time.Millisecond; err == nil && a != nil && a.Code == int32(protocol.SystemBusy) && wait < patience/4; wait *= 2 {
		select {
		case <-ctx.Done():
			return a, nil
		case <-time.After(wait):
		}
		a, err = s.ask(ctx, c, st)
	}
	return a, err
}

func (s *scene) ask(ctx context.Context, c *client, st *step) (*wire.Command, error) {
	o := &wire.Outgoing{Code: st.code, Language: st.how.language, Version: st.how.version, Flag: st.how.flag}
	switch o.Version {
	case 0:
		o.Version = version533
	case -1:
		o.Version = 0
	}
	if st.how.binary {
		o.Encoding = wire.Binary
	}
	for k, v := range st.ext {
		o.Ext = append(o.Ext, wire.Field{Key: k, Value: s.expand(v)})
	}
	sort.Slice(o.Ext, func(i, j int) bool { return o.Ext[i].Key < o.Ext[j].Key })
	if space, ok := st.ext["namespace"]; ok && st.code == 100 {
		s.f.wrote(s.expand(space))
	}
	body := []byte(s.expand(st.body))
	if st.raw != nil {
		body = st.raw(s)
	}
	wait := patience
	switch {
	case st.oneway:
		o.Flag |= wire.FlagOneway
		wait = silence
	case st.silent:
		wait = silence
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return c.ask(limited, o, body)
}

// poll asks until the answer is as expected.
func (s *scene) poll(ctx context.Context, c *client, st *step) (*wire.Command, error) {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := s.ask(ctx, c, st)
		if err != nil || a != nil && st.until(a) || time.Now().After(deadline) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, nil
		case <-tick.C:
		}
	}
}

// codeText is a response code with its name.
func codeText(code int32) string {
	switch code {
	case none:
		return "nothing"
	case refused:
		return "an error"
	case closed:
		return "by closing the connection"
	}
	if name, ok := protocol.ResponseNames()[protocol.ResponseCode(code)]; ok {
		return fmt.Sprintf("%d %s", code, name)
	}
	return fmt.Sprint(code)
}

// codeNumber reads what codeText wrote.
func codeNumber(text string) int32 {
	digits, _, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return recorded
	}
	return int32(n)
}
